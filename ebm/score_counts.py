"""How many anomaly scores lie between which calibration scores: all that ranks can tell, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ebm.calibration import Calibration

N_BINS = 10


def deciles(reference: np.ndarray, n_bins: int = N_BINS) -> np.ndarray:
    """The quantiles that cut `reference` into n_bins parts, fewer where they repeat; ascending."""
    return np.unique(np.quantile(reference, np.arange(1, n_bins) / n_bins))


@dataclass(eq=False)
class ScoreCounts:
    """Counts of anomaly scores, and how to add to them; the counts of two sets of scores add up.

    u_1 < ... < u_k are the calibration scores, repeated ones once.

    ranks: (2k + 1,) int64: scores below u_1, equal to u_1, between u_1 and u_2, equal to u_2, ..., above u_k.
    bins: scores by the deciles of the calibration.
    n_infinite: of those counted; n_nan: not counted.
    """

    calibration: Calibration
    ranks: np.ndarray = field(init=False)
    bins: np.ndarray = field(init=False)
    n_infinite: int = 0
    n_nan: int = 0

    def __post_init__(self) -> None:
        self._unique, self._first = np.unique(self.calibration.scores, return_index=True)
        self._edges = deciles(self.calibration.scores)
        self.ranks = np.zeros(2 * len(self._unique) + 1, np.int64)
        self.bins = np.zeros(len(self._edges) + 1, np.int64)

    @property
    def n(self) -> int:
        return int(self.ranks.sum())

    def add(self, scores: ArrayLike) -> ScoreCounts:
        """Count scores (m,), in any order; itself, for chaining."""
        given = np.asarray(scores, dtype=np.float64).ravel()
        seen = given[~np.isnan(given)]
        self.n_nan += len(given) - len(seen)
        self.n_infinite += int(np.isinf(seen).sum())
        # Few calibration scores are found among many others faster than the other way round.
        seen.sort()
        below = np.searchsorted(seen, self._unique, side="left")
        up_to = np.searchsorted(seen, self._unique, side="right")
        self.ranks += np.diff(np.stack([below, up_to], axis=1).ravel(), prepend=0, append=len(seen))
        self.bins += np.diff(np.searchsorted(seen, self._edges, side="left"), prepend=0, append=len(seen))
        return self

    def merge(self, ranks: np.ndarray, bins: np.ndarray, n_infinite: int) -> None:
        """Add the counts of another set of scores against the same calibration.

        Raises:
            ValueError: they are of another calibration.
        """
        if ranks.shape != self.ranks.shape or bins.shape != self.bins.shape:
            raise ValueError("counts against another calibration")
        self.ranks += ranks
        self.bins += bins
        self.n_infinite += n_infinite

    @property
    def p_values(self) -> np.ndarray:
        """(k + 1,) the p-values that can occur, descending: of scores up to u_1, up to u_2, ..., above u_k."""
        at_least = self.calibration.n - np.append(self._first, self.calibration.n)
        return (1 + at_least) / (1 + self.calibration.n)

    @property
    def by_p_value(self) -> np.ndarray:
        """(k + 1,) int64: how many scores have each of `p_values`."""
        up_to = self.ranks[:-1].reshape(-1, 2).sum(axis=1)
        return np.append(up_to, self.ranks[-1])

    def ks_distance(self) -> float:
        """The largest gap between the distribution functions of calibration and scores; at least one score.

        Between two calibration scores theirs is flat, so the gap is largest just below or at one of them.
        """
        there = np.append(self._first[1:], self.calibration.n)  # calibration scores <= u_i
        before = np.concatenate([[0], there[:-1]])
        theirs = np.stack([before, there], axis=1).ravel() / self.calibration.n
        seen = np.cumsum(self.ranks)[:-1] / self.n  # just below u_1, at u_1, just below u_2, ...
        return float(np.abs(theirs - seen).max())

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Calibration (n_cal,) and scores (n,) as places in one order, which is all that a test of ranks looks at."""
        theirs = 2 * np.searchsorted(self._unique, self.calibration.scores) + 1
        return theirs, np.repeat(np.arange(len(self.ranks)), self.ranks)
