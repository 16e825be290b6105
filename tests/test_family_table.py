"""The table of the family: every kind of energy, objective and sampler has its row, and what a row names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from ebm.energies import EnergyConfig
from ebm.objectives import ObjectiveConfig
from ebm.samplers import SamplerConfig

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/family/README.md"
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in PAGE.read_text("utf-8").splitlines()
    if line.startswith("| [")
]


def kinds(union: object) -> list[str]:
    return [config.model_fields["kind"].default for config in get_args(get_args(union)[0])]


@pytest.mark.parametrize(
    "kind", sorted({k for union in (EnergyConfig, ObjectiveConfig, SamplerConfig) for k in kinds(union)})
)
def test_every_kind_has_a_row(kind: str) -> None:
    assert any(f"`{kind}`" in row[1] for row in ROWS), f"docs/family/README.md has no row of '{kind}'"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_what_a_row_names_is_there(row: list[str]) -> None:
    """What, kind, file, test, example, figure: paths from the root."""
    assert len(row) == 6
    named = re.findall(r"\]\(([^)#]+)\)", " ".join(row))
    assert len(named) >= 3, "a row links its page, its file and its test"
    for path in named:
        assert (PAGE.parent / path).exists(), path
    assert row[5], "a row has a figure"
