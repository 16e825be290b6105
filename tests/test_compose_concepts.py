"""AND, OR and NOT: samples of a composition have what it asks for, more often than those of either model alone."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from analytic_detectors import PLAIN, analytic_detector, standardize
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from ebm.compose import Composition
from ebm.data import load_builtin
from ebm.detector import Detector
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig

HALF = 0.5  # width of a band


class Band(nn.Module):
    """Flat where |x_axis| < HALF, steep beyond; and a wide bowl, which keeps the chains at hand."""

    def __init__(self, axis: int):
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor, sigma: Any = None) -> Tensor:
        assert sigma is None
        outside = (x[:, self.axis].abs() - HALF).clamp_min(0)
        return 8 * outside.square() + x.square().sum(1) / 18


@lru_cache
def band(axis: int) -> Detector:
    rows = np.random.default_rng(axis).uniform(-3, 3, (60, 2))
    return analytic_detector(
        Band(axis), standardize([0, 0], [1, 1]), rows, name=f"band{axis}", sampler=PLAIN, n_steps=500
    )


def inside(samples: np.ndarray, axis: int) -> np.ndarray:
    return np.abs(samples[:, axis]) < HALF + 0.5  # two sd of the walls


def test_and_lies_where_two_bands_cross() -> None:
    def share(parts: list[Detector]) -> float:
        samples = Composition(parts).generate(400, seed=1).samples
        return float((inside(samples, 0) & inside(samples, 1)).mean())

    alone = [share([band(axis)]) for axis in (0, 1)]
    assert share([band(0), band(1)]) > 0.9 and max(alone) < 0.4


def test_or_covers_both_bands_by_their_weights() -> None:
    samples = Composition([band(0), band(1)], [3.0, 1.0], mode="either").generate(1200, seed=1).samples
    first, second = inside(samples, 0), inside(samples, 1)
    assert (first | second).mean() > 0.93
    # Off the crossing, which either may have drawn, one band holds three times as many as the other.
    one, other = (first & ~second).sum(), (second & ~first).sum()
    assert 0.70 < one / (one + other) < 0.80


def test_not_stays_in_its_band_and_off_the_other() -> None:
    unlike = Composition([band(0), band(1)], [1.0, -0.5]).generate(400, seed=1).samples
    alone = band(0).generate(400, seed=1).samples
    assert inside(unlike, 0).mean() > 0.9
    assert inside(unlike, 1).mean() < 0.5 * inside(alone, 1).mean()


@lru_cache
def drawn() -> tuple[np.ndarray, np.ndarray]:
    table = load_builtin("digits")
    assert table.labels is not None
    return table.values, np.asarray(table.labels)


ATTRIBUTES = {"even": lambda y: y % 2 == 0, "small": lambda y: y < 5}


@lru_cache
def expert(which: str) -> Detector:
    """Of even digits, or of those below five: a kernel energy, which is fitted and samples by annealed Langevin."""
    values, y = drawn()
    rows = np.random.default_rng(0).permutation(values[ATTRIBUTES[which](y)])
    sampler = {
        "kind": "annealed_langevin",
        "sigma_min": 0.15,
        "sigma_max": 4.0,
        "n_levels": 25,
        "step_size": 0.2,
    }
    config = {
        "name": which,
        "preprocessing": {"kind": "image", "low": 0, "high": 16},
        "terms": [{"name": "k", "energy": {"kind": "kernel", "bandwidth": 0.1}}],
        "sampling": {"term": "k", "sampler": sampler | {"n_steps_per_level": 8}},
    }
    return fit_detector(ModelConfig.model_validate(config), rows[:-30], rows[-30:])


@lru_cache
def shares(parts: tuple[str, ...], weights: tuple[float, ...]) -> tuple[float, float, float]:
    """Of 100 samples: how many are even, below five, and both, by their nearest neighbours."""
    values, y = drawn()
    samples = Composition([expert(part) for part in parts], weights).generate(100, seed=3).samples
    classifier = KNeighborsClassifier(5).fit(values.reshape(len(values), -1), y)
    found = classifier.predict(samples.reshape(len(samples), -1))
    even, small = (attribute(found) for attribute in ATTRIBUTES.values())
    return float(even.mean()), float(small.mean()), float((even & small).mean())


def test_even_and_below_five() -> None:
    alone = [shares((name,), (1.0,))[2] for name in ATTRIBUTES]
    assert shares(("even", "small"), (1.0, 1.0))[2] > 0.8 > 0.7 > max(alone)


def test_below_five_but_not_even() -> None:
    even, small, _ = shares(("small", "even"), (1.0, -0.5))
    alone, _, _ = shares(("small",), (1.0,))
    assert small > 0.9 and even < 0.6 * alone
