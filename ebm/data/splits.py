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


def split_normal(
    n: int, train: int | float, calibration: int | float, seed: int, groups: np.ndarray | None = None
) -> Split:
    """Split n normal rows at random; what is neither trained nor calibrated on is the test part.

    Args:
        train, calibration: a count (int, of rows) or a share (float, at most 1, rounded down); `calibration` may be 0.
        seed: the same n, sizes, groups and seed give the same split.
        groups: (n,), what each row belongs to. Rows of one group are never on two sides, for then a model would be
            calibrated and measured on pictures it has all but seen; the sizes are met as nearly as whole groups allow.

    Raises:
        BadInput: fewer than 2 training rows, no calibration row where some are wanted, more rows wanted than there
            are, or groups too few to be split.
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
    random = np.random.default_rng(seed)
    if groups is not None:
        return _whole_groups(groups, (n_train, n_calibration, n - n_train - n_calibration), random)
    edges = (n_train, n_train + n_calibration)
    return Split(*(np.sort(part) for part in np.split(random.permutation(n), edges)))


def _whole_groups(groups: np.ndarray, wanted: tuple[int, int, int], random: np.random.Generator) -> Split:
    """Each group, in random order, goes where most rows are still wanted; then no part that is wanted stays empty, if
    another can give it a group."""
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    part_of = np.full(len(sizes), -1)
    lacking = np.array(wanted)
    for group in random.permutation(len(sizes)):
        part_of[group] = lacking.argmax()
        lacking[part_of[group]] -= sizes[group]
    for part in range(3):
        if wanted[part] and not (part_of == part).any():
            several = [p for p in range(3) if (part_of == p).sum() > 1]
            if several:
                giver = min(several, key=lambda p: int(lacking[p]))
                candidates = np.flatnonzero(part_of == giver)
                given = candidates[sizes[candidates].argmin()]
                part_of[given] = part
                lacking[[giver, part]] += np.array([1, -1]) * sizes[given]
    parts = [np.flatnonzero(part_of[group_of] == part) for part in range(3)]
    about = f"the normal rows are of {len(sizes)} groups (option 'group'), which stay whole"
    if len(parts[0]) < 2:
        raise BadInput(f"{about}: {len(parts[0])} rows are left for training, at least 2 are needed")
    if wanted[1] and not len(parts[1]):
        raise BadInput(f"{about}: none is left for calibration")
    return Split(*parts)


def _count(size: int | float, n: int, name: str) -> int:
    if isinstance(size, bool) or size < 0 or (isinstance(size, float) and not size <= 1):
        raise BadInput(f"{name}: {size} is neither a count of rows nor a share of at most 1")
    # The nudge keeps .6 of 10 rows at 6 although .6 * 10 may fall a rounding error short.
    return size if isinstance(size, int) else int(size * n + 1e-9)
