"""Each kind of damage does what its name says, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from ebm.evaluation.corruptions import CORRUPTIONS, corrupt_all


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(99).uniform(-0.9, 0.9, (6, 1, 8, 8)).astype(np.float32)


def test_all_kinds_by_seed(pictures: np.ndarray) -> None:
    one, again, other = (corrupt_all(pictures, seed) for seed in (0, 0, 1))
    assert set(one) == set(CORRUPTIONS) and len(one) == 9
    for kind, x in one.items():
        assert x.shape == pictures.shape and x.dtype == np.float32 and np.abs(x).max() <= 1
        assert np.abs(x - pictures).max() > 0.1
        np.testing.assert_array_equal(x, again[kind])
        is_random = kind not in ("rotate90", "flip", "blur")
        assert is_random == bool(np.abs(x - other[kind]).max() > 0)


def test_rotation_and_flip(pictures: np.ndarray) -> None:
    x = corrupt_all(pictures, 0)
    np.testing.assert_array_equal(x["flip"], pictures[:, :, ::-1])
    np.testing.assert_array_equal(x["rotate90"][:, 0, 0, 0], pictures[:, 0, 0, 7])
    assert "rotate90" not in corrupt_all(pictures[:, :, :5], 0)


@pytest.mark.parametrize("kind", ["patch_noise", "patch_constant", "patch_other"])
def test_a_patch_is_three_by_three(kind: str, pictures: np.ndarray) -> None:
    changed = corrupt_all(pictures, 0)[kind] != pictures
    for mask in changed[:, 0]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == 9 and np.ptp(rows) == np.ptp(columns) == 2
