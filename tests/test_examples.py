"""The examples run, and show what they say they show."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_first_five_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "why.png"
    runpy.run_path(str(EXAMPLES / "first_five_minutes.py"))["main"](picture)
    shown = capsys.readouterr().out
    assert "NaN" in shown and "rough" in shown  # of the untidy frame's first rows
    figures = [float(x) for x in re.findall(r"(?:AUROC|cases) +([\d.]+)", shown)]
    auroc, detected, false_alarms = figures
    assert auroc > 0.9
    assert detected > 60 > 15 > false_alarms
    assert re.search(r"p = 0\.00\d; most of its energy comes from\n  \w+", shown)
    assert re.search(r"its texture is not known; likely (fine|even|rough|coarse)\n", shown)
    with Image.open(picture) as image:
        assert image.size[0] > 300
