"""The pages on running it: settings that exist, links that lead somewhere, arithmetic that adds up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from deployed import DEPLOY, KUBERNETES, ROOT, SETTINGS

SCALING = ROOT / "docs" / "scaling.md"
PAGES = [SCALING, DEPLOY / "README.md", KUBERNETES / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_and_links_exist(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"\bEBM_[A-Z_]*[A-Z]\b", text)) - {"EBM_PORT"}
    assert named and named <= SETTINGS, named - SETTINGS
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert links and all((page.parent / link).exists() for link in links)


def test_the_table_follows_from_its_formulas() -> None:
    text = SCALING.read_text()
    head = re.findall(r"c = ([\d.,]+) \|", re.findall(r"^\| a day .*$", text, re.M)[0])
    costs = [float(c.replace(",", "")) for c in head]
    assert costs == [3.4, 16, 65, 1000]
    wanted = {
        "10⁹ rows: cores": [1e9 * c / 86_400 / 1e6 for c in costs],
        "10⁹ rows: core-hours": [1e9 * c / 3.6e9 for c in costs],
        "10¹¹ rows: cores": [1e11 * c / 86_400 / 1e6 for c in costs],
        "10¹¹ rows: core-hours": [1e11 * c / 3.6e9 for c in costs],
    }
    for name, figures in wanted.items():
        (line,) = re.findall(rf"^\| {name} \|(.*)$", text, re.M)
        shown = [float(cell.replace(",", "")) for cell in line.split("|")[:4]]
        assert shown == pytest.approx(figures, rel=0.08), name
    (line,) = re.findall(r"^\| computation \|(.*)$", text, re.M)
    hours = [1e9 * 16 / 3.6e9, 1e9 * 1000 / 3.6e9, 1e11 * 16 / 3.6e9, 1e11 * 1000 / 3.6e9]
    assert [float(cell.replace(",", "")) for cell in line.split("|")[:4]] == pytest.approx(
        [0.04 * h for h in hours], rel=0.02
    )
