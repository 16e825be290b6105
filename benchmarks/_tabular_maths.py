"""Means, ranks, Wilcoxon tests and false-positive rates of stored cells. Arrays are (methods, sets), NaN = failed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from _tabular_run import RATES
from _tabular_store import Cell, Cells
from scipy.stats import betabinom, binom, rankdata, wilcoxon


def collect(
    store: Cells, training: str, figure: str, methods: list[str], sets: list[str], seeds: list[int]
) -> np.ndarray:
    """A figure's mean over the seeds that have one, (methods, sets)."""
    cells = [
        [[store.found.get(Cell(training, s, seed, m), {}).get(figure) for seed in seeds] for s in sets]
        for m in methods
    ]
    values = np.array(cells, dtype=np.float64).reshape(len(methods), len(sets), len(seeds))
    known = np.isfinite(values)
    return np.where(
        known.any(axis=2), np.where(known, values, 0).sum(axis=2) / np.maximum(known.sum(axis=2), 1), np.nan
    )


def mean_rank(figures: np.ndarray) -> np.ndarray:
    """Mean over sets of a method's place, 1 = highest; ties share places and a failure takes the last ones."""
    measured = np.isfinite(figures).any(axis=0)
    places = rankdata(-np.nan_to_num(figures[:, measured], nan=-np.inf), axis=0)
    return places.mean(axis=1) if measured.any() else np.full(len(figures), np.nan)


class Gain(NamedTuple):
    """Ours minus a peer over the sets both finished: mean, two-sided Wilcoxon signed-rank p, sets."""

    mean: float
    p: float
    sets: int


def gain(ours: np.ndarray, theirs: np.ndarray) -> Gain:
    both = np.isfinite(ours) & np.isfinite(theirs)
    difference = (ours - theirs)[both]
    if not both.any():
        return Gain(np.nan, np.nan, 0)
    # Identical figures are no evidence of a difference; scipy has no p for them.
    p = float(wilcoxon(difference)[1]) if difference.any() else 1.0  # type: ignore[arg-type]
    return Gain(float(difference.mean()), p, int(both.sum()))


class Rate(NamedTuple):
    """Of one requested false-positive rate: the mean actual one, and the shares within their 95% intervals.

    `cells` and `sets` count flagged rows against Binomial(n, rate), over single splits and over the mean of a set's
    seeds. `conformal` counts splits against BetaBinomial(n, l, m + 1 - l), l = floor(rate (m + 1)): what p-values
    that are exactly valid give when calibrated once on m rows (Vovk 2012).
    """

    requested: float
    actual: float
    cells: float
    sets: float
    conformal: float
    worst: tuple[str, float]


def within(flagged: float, normals: int, rate: float, calibrated: int | None = None) -> bool:
    """Is the count within the central 95% of its binomial, or with `calibrated` rows its beta-binomial?"""
    tails = np.array([0.025, 0.975])
    if calibrated is None:
        low, high = binom.ppf(tails, normals, rate)
    else:
        smallest = int(np.floor(rate * (calibrated + 1)))
        if smallest == 0:
            return flagged == 0
        low, high = betabinom.ppf(tails, normals, smallest, calibrated + 1 - smallest)
    return bool(low <= flagged <= high)


def rates(store: Cells, training: str, method: str, sets: list[str], seeds: list[int]) -> list[Rate]:
    """Requested against actual false-positive rates of one method; empty where it gives no p-values."""
    answer = []
    for rate in RATES:
        column = f"flagged_{round(100 * rate):02d}"
        found: dict[str, list[dict[str, Any]]] = {}
        for name in sets:
            cells = [store.found.get(Cell(training, name, seed, method), {}) for seed in seeds]
            if cells := [c for c in cells if c.get(column) is not None]:
                found[name] = cells
        every = [c for cells in found.values() for c in cells]
        if not every:
            return []
        actual = {n: float(np.mean([c[column] / c["normals"] for c in cells])) for n, cells in found.items()}
        worst = max(actual, key=lambda n: abs(actual[n] - rate))
        by_set = [
            within(
                float(np.mean([c[column] for c in cells])),
                round(np.mean([c["normals"] for c in cells])),
                rate,
            )
            for cells in found.values()
        ]
        answer.append(
            Rate(
                rate,
                float(np.mean(list(actual.values()))),
                float(np.mean([within(c[column], int(c["normals"]), rate) for c in every])),
                float(np.mean(by_set)),
                float(
                    np.mean([within(c[column], int(c["normals"]), rate, int(c["n_train"])) for c in every])
                ),
                (worst, actual[worst]),
            )
        )
    return answer
