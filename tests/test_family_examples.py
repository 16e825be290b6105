"""Every example of the family runs, says something, and is to be found from the documents."""

from __future__ import annotations

import math
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples" / "family").glob("*.py"))
PAGES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "family").glob("*.md"))]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = runpy.run_path(str(path))
    assert capsys.readouterr().out == "", "running it as a script is what prints"
    assert namespace["__doc__"]
    figures = namespace["main"](quick=True)
    assert figures and all(isinstance(name, str) and math.isfinite(value) for name, value in figures.items())
    assert capsys.readouterr().out.count("\n") >= 3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_linked(path: Path) -> None:
    link = re.compile(rf"\]\(\.\./\.\./examples/family/{path.name}\)")
    assert any(link.search(page) for page in PAGES), f"no page in docs/family links {path.name}"
