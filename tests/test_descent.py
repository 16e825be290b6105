"""Structured prediction: descent finds the least energy, and `impute` answers with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from family_models import sine, structured_model
from torch import Tensor

from ebm.descent import Pairs, descend
from ebm.energies import StructuredConfig, StructuredEnergy
from ebm.errors import BadConfig, BadInput
from ebm.fitting import fit_detector
from ebm.steps import finish
from ebm.training.config import ModelConfig

TARGETS = torch.tensor([False, True, True])


def found(energy: object, rows: Tensor, missing: Tensor, n: int) -> tuple[Tensor, Tensor]:
    pairs = Pairs(energy, TARGETS, torch.zeros(3), 1.0)  # type: ignore[arg-type]
    draws, best, _ = finish(descend(pairs, rows, missing, n, torch.Generator().manual_seed(0)))
    return draws, best


def test_the_least_of_a_quadratic_is_its_conditional_mean() -> None:
    # Stiff: its curvatures differ a hundredfold.
    precision = torch.tensor([[1.0, 0.5, -2.0], [0.5, 1.0, 0.3], [-2.0, 0.3, 100.0]])
    rows = torch.tensor([[1.0, 0.0, 0.0], [-3.0, 0.0, 0.0]])
    _, y = found(lambda x: (x @ precision * x).sum(1) / 2, rows, TARGETS.expand(2, 3), 1)
    wanted = -torch.linalg.solve(precision[1:, 1:], precision[1:, :1]) @ rows[:, :1].T
    torch.testing.assert_close(y[:, 1:], wanted.T, atol=1e-3, rtol=0)
    assert torch.equal(y[:, 0], rows[:, 0])


def test_only_what_is_missing_moves() -> None:
    rows, missing = torch.tensor([[1.0, 5.0, 0.0]]), torch.tensor([[False, False, True]])
    draws, y = found(lambda x: (x - 2).square().sum(1), rows, missing, 3)
    assert torch.equal(draws[0, :, :2], rows[:, :2].expand(3, 2))
    assert y[0, 2] == pytest.approx(2, abs=1e-3)


def test_of_several_minima_it_takes_the_lowest() -> None:
    def two_wells(x: Tensor) -> Tensor:
        """At y = -1 and, deeper, at y = 1; the first start, 0, is nearer to the first."""
        y = x[:, 1]
        return 4 * (y.square() - 1).square() - 0.5 * y + 1.5 * torch.exp(-20 * (y - 0.2).square())

    rows, missing = torch.zeros(1, 3), torch.tensor([[False, True, False]])
    _, single = found(two_wells, rows, missing, 1)
    draws, best = found(two_wells, rows, missing, 16)
    assert single[0, 1] < -0.9 and best[0, 1] > 0.9
    assert draws[0, :, 1].min() < -0.9  # the spread shows that there are others


def test_a_trained_model_predicts_by_imputing() -> None:
    rows = sine(100, 9)
    gaps = rows.copy()
    gaps[:, 1:] = np.nan
    gaps[0] = rows[0]
    answer = structured_model().impute(gaps, n_draws=3)
    assert np.array_equal(answer.rows[:, 0], rows[:, 0]) and np.array_equal(answer.rows[0], rows[0])
    truth = np.column_stack([np.sin(rows[:, 0]), np.cos(rows[:, 0])])
    assert np.abs(answer.rows[1:, 1:] - truth[1:]).mean() < 0.05
    assert answer.acceptance is None and answer.spread[1:, 1:].max() < 0.1


def test_what_it_predicts_from_must_be_there() -> None:
    model = structured_model()
    assert model.can >= {"impute", "explain"} and "generate" not in model.can
    with pytest.raises(BadInput, match="row 1: a cell is missing from which this model predicts"):
        model.impute([[1.0, np.nan, 0.5], [np.nan, 0.1, 0.2]])


def test_channels_of_images_are_predicted() -> None:
    """y is the negative of x, pixel by pixel; one pixel in four of x is noise away from the others."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (150, 4, 4))
    images = np.stack([x, 255 - x], 3)
    pairs = {
        "name": "pairs",
        "energy": {"kind": "structured", "width": 8, "depth": 1},
        "objective": {"kind": "structured_dsm", "sigma": 0.5},
        "training": {"n_steps": 200, "batch_size": 32, "learning_rate": 2e-2, "ema": 0.9},
    }
    config = {"name": "negatives", "preprocessing": {"kind": "image"}, "terms": [pairs]}
    model = fit_detector(ModelConfig.model_validate(config), images[:120], images[120:140])
    gaps = images[140:].copy()
    gaps[..., 1] = np.nan
    answer = model.impute(gaps, n_draws=2)
    assert answer.rows.shape == (10, 4, 4, 2) and np.array_equal(answer.rows[..., 0], gaps[..., 0])
    assert np.abs(answer.rows[..., 1] - images[140:, ..., 1]).mean() < 25
    assert answer.rows.min() >= 0 and answer.rows.max() <= 255


def test_something_must_be_left_to_predict_from() -> None:
    with pytest.raises(BadConfig, match="'n_targets' 3 of 3 leaves nothing to predict from"):
        StructuredConfig(n_targets=3).build((3,))


def test_pairs_come_apart_and_together() -> None:
    energy = StructuredConfig(n_targets=2, width=8, depth=1).build((3,))
    assert isinstance(energy, StructuredEnergy)
    x, y = energy.split(torch.arange(6.0).reshape(2, 3))
    assert x.shape == (2, 1) and torch.equal(energy.join(x, y), torch.arange(6.0).reshape(2, 3))
    assert torch.equal(energy.targets, TARGETS)
