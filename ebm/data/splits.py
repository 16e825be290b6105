"""Which normal rows train, which calibrate, which test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebm.errors import BadInput


@dataclass(frozen=True)
class Split:
    """Disjoint, sorted index arrays (int64) that together hold every row once."""

    train: np.ndarray
    calibration: np.ndarray
    test: np.ndarray


def split_normal(n: int, train: int | float, calibration: int | float, seed: int) -> Split:
    """Split n normal rows at random; what is neither trained nor calibrated on is the test part.

    Args:
        train, calibration: a count (int, of rows) or a share (float, at most 1, rounded down); `calibration` may be 0.
        seed: the same n, sizes and seed give the same split.

    Raises:
        BadInput: fewer than 2 training rows, no calibration row where some are wanted, or more rows wanted than there
            are.
    """
    n_train, n_calibration = _count(train, n, "train"), _count(calibration, n, "calibration")
    if n_train < 2:
        raise BadInput(f"{n} normal rows leave {n_train} for training: at least 2 are needed")
    if n_calibration < 1 and calibration != 0:
        raise BadInput(f"{n} normal rows leave none for calibration: at least 1 is needed")
    if n_train + n_calibration > n:
        raise BadInput(
            f"{n_train} training and {n_calibration} calibration rows wanted, but only {n} are normal"
        )
    order = np.random.default_rng(seed).permutation(n)
    edges = (n_train, n_train + n_calibration)
    return Split(*(np.sort(part) for part in np.split(order, edges)))


def _count(size: int | float, n: int, name: str) -> int:
    if isinstance(size, bool) or size < 0 or (isinstance(size, float) and not size <= 1):
        raise BadInput(f"{name}: {size} is neither a count of rows nor a share of at most 1")
    # The nudge keeps .6 of 10 rows at 6 although .6 * 10 may fall a rounding error short.
    return size if isinstance(size, int) else int(size * n + 1e-9)
