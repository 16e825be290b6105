"""The sets and their splits (Livernoche et al., ICLR 2024, without their bootstrap of small sets)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

ROWS = 10_000


class Split(NamedTuple):
    """One seed's rows: `train` (n, d), `test` (m, d) and `labels` (m,), 1 = anomaly."""

    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray


def names(folder: Path) -> list[str]:
    """The sets of a folder in alphabetical order; a set is an `.npz` with `X` (n, d) and `y` (n,)."""
    found = sorted(path.stem for path in folder.glob("*.npz"))
    if not found:
        raise SystemExit(f"{folder}: no .npz files here")
    return found


def load(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values (n, d) as float64 and labels (n,) as booleans."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as archive:
        values, labels = np.asarray(archive["X"], dtype=np.float64), np.asarray(archive["y"]).ravel()
    if values.ndim != 2 or len(values) != len(labels):
        raise ValueError(f"X is {values.shape} and y {labels.shape}; (n, d) and (n,) are wanted")
    return values, labels != 0


def split(values: np.ndarray, labels: np.ndarray, seed: int, contaminated: bool = False) -> Split:
    """At most `ROWS` rows drawn without replacement; half of the normal ones train, everything else tests.

    Contaminated: half of all rows train, anomalies included. An odd row goes to the test. The draw is plain, not
    stratified, so a rare anomaly may be missing from it.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(values))[:ROWS]
    pool = drawn if contaminated else drawn[~labels[drawn]]
    train = pool[: len(pool) // 2]
    test = np.setdiff1d(drawn, train, assume_unique=True)
    found = labels[test].astype(np.int64)
    if len(train) < 2 or not 0 < found.sum() < len(found):
        raise ValueError(
            f"{len(train)} training rows, {found.sum()} anomalies among {len(found)} test rows: nothing to measure"
        )
    return Split(values[train], values[test], found)


def standardiser(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each training column, 1 where it is constant."""
    deviation = train.std(axis=0)
    return train.mean(axis=0), np.where(deviation < 1e-9, 1.0, deviation)
