"""What every stored figure carries: the machine, the versions, the date, the command and the seeds."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
CONFIGS = Path(__file__).parents[1] / "configs"


def provenance(seeds: list[int]) -> dict[str, Any]:
    """Machine, versions, date, command and seeds of this run."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    packages = ("torch", "numpy", "scikit-learn", "scipy", "lightning-fabric")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python " + " ".join([Path(sys.argv[0]).as_posix(), *sys.argv[1:]]),
        "machine": {"cpu": cpu, "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version()}
        | {p: importlib.metadata.version(p) for p in packages},
        "seeds": seeds,
    }


class Store:
    """A JSON file of finished cells, so that an interrupted benchmark goes on where it stopped."""

    def __init__(self, path: Path, seeds: list[int], settings: dict[str, Any], fresh: bool):
        self.path = path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        found = json.loads(path.read_text()) if path.exists() and not fresh else {}
        # Figures of other settings or another seed list are not these figures.
        same = (
            found.get("settings") == json.loads(json.dumps(settings))
            and found.get("run", {}).get("seeds") == seeds
        )
        self.cells: dict[str, dict[str, float]] = found["cells"] if same else {}
        self.head = {"run": provenance(seeds), "settings": settings}

    def add(self, cell: str, figures: dict[str, float]) -> None:
        self.cells[cell] = figures
        beside = self.path.with_suffix(".tmp")
        beside.write_text(json.dumps(self.head | {"cells": self.cells}, indent=1) + "\n")
        os.replace(beside, self.path)


def heading(run: dict[str, Any]) -> str:
    """Provenance as one Markdown paragraph."""
    versions = ", ".join(f"{k} {v}" for k, v in run["versions"].items())
    return (
        f"`{run['command']}`, {run['date'][:10]}, {run['machine']['cpu']}, {run['machine']['cores']} cores, "
        f"{versions}; seeds {', '.join(map(str, run['seeds']))}.\n"
    )
