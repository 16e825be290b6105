import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebm.data import split_normal
from ebm.errors import BadInput


@given(st.integers(2, 60), st.integers(0, 40), st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_every_row_once(train, calibration, rest, seed):
    n = train + calibration + rest
    split = split_normal(n, train, calibration, seed)
    assert (len(split.train), len(split.calibration), len(split.test)) == (train, calibration, rest)
    together = np.concatenate([split.train, split.calibration, split.test])
    np.testing.assert_array_equal(np.sort(together), np.arange(n))


def test_shares():
    split = split_normal(10, 0.6, 0.3, seed=0)
    assert [len(part) for part in (split.train, split.calibration, split.test)] == [6, 3, 1]
    assert len(split_normal(100, 0.29, 0.57, seed=0).train) == 29
    split = split_normal(10, 1.0, 0.0, seed=0)  # a model calibrated by leave-one-out needs no others
    assert [len(part) for part in (split.train, split.calibration, split.test)] == [10, 0, 0]


def test_seed_decides():
    a, b, c = (split_normal(100, 50, 25, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.train, b.train)
    np.testing.assert_array_equal(a.test, b.test)
    assert not np.array_equal(a.train, c.train)


def test_split_is_random_not_by_position():
    train = split_normal(1000, 500, 250, seed=0).train
    assert 430 < train.mean() < 570
    assert (np.diff(train) > 0).all()


@pytest.mark.parametrize(
    "n, train, calibration, message",
    [
        (1, 0.6, 0.2, "1 normal rows leave 0 for training"),
        (3, 1, 1, "leave 1 for training"),
        (4, 0.6, 0.2, "none for calibration"),
        (10, 8, 3, "8 training and 3 calibration rows wanted, but only 10"),
        (10, 1.01, 0.2, "train: 1.01 is neither"),
        (10, 1.0, 0.2, "10 training and 2 calibration rows wanted, but only 10"),
        (10, -1, 2, "train: -1"),
        (10, 0.5, float("nan"), "calibration: nan"),
        (0, 0.5, 0.2, "0 normal rows"),
    ],
)
def test_sets_too_small(n, train, calibration, message):
    with pytest.raises(BadInput, match=message):
        split_normal(n, train, calibration, seed=0)
