"""Every density objective teaches a network the score field of a known mixture; the table is the benchmark's."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from _family_scores import (
    OBJECTIVE,
    RECIPES,
    Recipe,
    field,
    gaussian,
    learnt_field,
    mixture,
    objective,
    precision_error,
    report,
    score,
)
from pydantic import ValidationError

from ebm.energies import MLPConfig

# By fewer steps, those that need no chains; all others, and these in full, are slow.
QUICK = {"score_matching, Hutchinson": 0.2, "nce, Gaussian noise": 0.3}


def test_the_start_is_no_answer() -> None:
    energy = MLPConfig(width=64, depth=2).build((2,))
    energy.fit(mixture().sample(4000, torch.Generator().manual_seed(0)))  # type: ignore[operator]
    found = field(energy, mixture(), None, 0)
    assert found["cosine"] < 0.8 and found["fisher"] > 0.3 * found["flat"]


@pytest.mark.parametrize("name", QUICK)
def test_quick_objectives_learn_the_field_of_a_mixture(name: str) -> None:
    found = learnt_field(RECIPES[name], share=QUICK[name])
    assert found["cosine"] > 0.95
    assert found["fisher"] < 0.15 * found["flat"]


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_objective_learns_the_field_of_a_mixture(name: str) -> None:
    if objective(RECIPES[name]) is None:
        pytest.skip("not in this version")
    found = learnt_field(RECIPES[name])
    assert found["cosine"] > 0.95
    assert found["fisher"] < 0.1 * found["flat"]


def test_the_field_of_the_truth_is_the_truth_with_noise_as_without() -> None:
    for sigma in (None, 0.3):
        found = field(Smoothed(sigma), mixture(), sigma, 0)
        assert found["cosine"] == pytest.approx(1, abs=1e-5) and found["fisher"] < 1e-6
    assert field(lambda x: -mixture()(x), mixture(), None, 0)["cosine"] == pytest.approx(-1, abs=1e-5)


class Smoothed:
    def __init__(self, sigma: float | None):
        self.sigma = sigma

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return mixture()(x, sigma=self.sigma)


def test_the_precision_error_is_that_of_the_start_before_training() -> None:
    start, truth = torch.eye(8), gaussian(8).precision
    expected = float((start - truth).norm() / truth.norm())
    assert precision_error(
        replace(RECIPES["score_matching, Hutchinson"], gaussian_steps=1), 8
    ) == pytest.approx(expected, abs=0.02)


def test_an_unknown_kind_is_left_out_and_a_wrong_setting_is_not() -> None:
    assert objective(Recipe({"kind": "no_such_kind"})) is None
    with pytest.raises(ValidationError):
        objective(Recipe({"kind": "dsm", "sigma": 1}))
    assert all(OBJECTIVE.validate_python(r.objective) for r in RECIPES.values() if objective(r) is not None)


def test_the_report_names_what_is_missing() -> None:
    row = {"d1": 0.01, "d8": 0.02, "cosine": 0.99, "fisher": 0.1, "flat": 9.0, "seconds": 3.0}
    lines = report([{"dsm at sigma .1": row, "x": {}}, {"dsm at sigma .1": row | {"cosine": 0.97}, "x": {}}])
    (line,) = [line for line in lines if line.startswith("| `dsm` at sigma .1 |")]
    assert "0.9800 (0.9700–0.9900)" in line
    assert "Not in this version: x." in lines
    assert score(mixture(), torch.zeros(3, 2)).shape == (3, 2) and not math.isnan(row["flat"])
