"""The benchmarks are scripts, not a package: their folder has to be on the path, after all else, for one is called
service.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
