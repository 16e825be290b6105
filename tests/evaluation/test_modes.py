from __future__ import annotations

import math

import numpy as np
import pytest

from ebm.errors import BadInput
from ebm.evaluation.modes import mode_coverage

MODES = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]])


def around(counts: list[int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.repeat(MODES, counts, axis=0) + rng.normal(0, 0.1, (sum(counts), 2))


def test_all_modes_in_the_right_shares() -> None:
    found = mode_coverage(around([10, 20, 30, 40]), MODES, 1.0, [1, 2, 3, 4])
    assert (found.covered, found.near) == (1.0, 1.0)
    assert found.kl == pytest.approx(0, abs=1e-12)
    assert found.shares.tolist() == [0.1, 0.2, 0.3, 0.4]


def test_a_collapse_to_one_mode() -> None:
    found = mode_coverage(around([50, 0, 0, 0]), MODES, 1.0)
    assert found.covered == 0.25 and found.kl == pytest.approx(math.log(4))


def test_samples_far_from_every_mode_cover_none() -> None:
    found = mode_coverage(np.full((9, 2), [2.4, 2.4]), MODES, 1.0)
    assert (found.covered, found.near) == (0.0, 0.0)


def test_unequal_shares_are_told_by_kl() -> None:
    found = mode_coverage(around([60, 20, 10, 10]), MODES, 1.0)
    q = np.array([0.6, 0.2, 0.1, 0.1])
    assert found.covered == 1 and found.kl == pytest.approx(float((q * np.log(4 * q)).sum()))


@pytest.mark.parametrize(
    ("samples", "weights", "match"),
    [(np.zeros((0, 2)), None, "one shape"), (np.zeros((3, 3)), None, "one shape"), (MODES, [1, 1, 1], "4 positive"),
     (MODES, [1, 1, 1, 0], "4 positive")],
)  # fmt: skip
def test_bad_input(samples, weights, match) -> None:
    with pytest.raises(BadInput, match=match):
        mode_coverage(samples, MODES, 1.0, weights)
