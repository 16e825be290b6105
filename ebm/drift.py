"""Whether the rows of late look like the calibration rows, by their anomaly scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ebm.calibration import Calibration

TAIL = 0.01  # share of p-values at or below this
PSI_SOME, PSI_MUCH = 0.1, 0.25  # the usual rule of thumb (Siddiqi 2006)
MIN_SCORES = 100
N_BINS = 10
CONFIDENCE = 0.95

State = Literal["unknown", "stable", "shifting", "drifted"]


class KS(NamedTuple):
    """The largest gap between two distribution functions, in [0, 1], and how likely so large a one is by chance."""

    distance: float
    p_value: float


class Share(NamedTuple):
    """A share with its 95% Wilson interval."""

    share: float
    low: float
    high: float


class Figures(NamedTuple):
    """What is cheap to tell of at least one score: largest gap of the distribution functions, PSI, share of p <= .01,
    mean p."""

    ks: float
    psi: float
    tail: float
    mean_p: float


@dataclass(frozen=True)
class DriftReport:
    """What n anomaly scores say against the calibration.

    n: how many scores this rests on; n_infinite of them are infinite, n_nan further ones were left out.
    ks: two-sample Kolmogorov-Smirnov; None without scores, as are the next four.
    psi: population stability index over the deciles of the calibration scores.
    psi_by_chance: what psi stays below in 95% of windows of this size where nothing has changed.
    tail: share of p <= .01; tail_expected of them would be normal.
    mean_p: .5 where nothing has changed.
    state, verdict: the same in a word and in a sentence.
    """

    n: int
    n_infinite: int
    n_nan: int
    ks: KS | None
    psi: float | None
    psi_by_chance: float | None
    tail: Share | None
    tail_expected: float
    mean_p: float | None
    state: State
    verdict: str


def ks_distance(calibration: ArrayLike, scores: ArrayLike) -> float:
    """The largest gap between the distribution functions of calibration (n,) and scores (m,), at least one of each."""
    a, b = (np.sort(np.asarray(x, dtype=np.float64)) for x in (calibration, scores))
    both = np.concatenate([a, b])
    gap = np.searchsorted(a, both, side="right") / len(a) - np.searchsorted(b, both, side="right") / len(b)
    return float(np.abs(gap).max())


def ks_test(calibration: ArrayLike, scores: ArrayLike) -> KS:
    """Two-sample Kolmogorov-Smirnov test: exact p-values for up to 10,000 scores, asymptotic beyond."""
    from scipy import stats  # here, not above: it takes long to import, and few requests need it

    found: Any = stats.ks_2samp(np.asarray(calibration), np.asarray(scores))
    return KS(float(found.statistic), float(found.pvalue))


def psi(calibration: ArrayLike, scores: ArrayLike, n_bins: int = N_BINS) -> float:
    """Population stability index: sum over bins of (q - p) log(q / p), p and q the shares of calibration and scores.

    Bins are cut at the quantiles of the calibration scores, fewer where these repeat. Half a score is added to each
    bin, so that an empty one does not make the sum infinite.

    Source: Siddiqi (2006); Yurdakul & Naranjo (2020) for its distribution.
    """
    reference, seen = (np.asarray(x, dtype=np.float64) for x in (calibration, scores))
    edges = np.unique(np.quantile(reference, np.arange(1, n_bins) / n_bins))

    def shares(x: np.ndarray) -> np.ndarray:
        counts = np.bincount(np.searchsorted(edges, x, side="right"), minlength=len(edges) + 1) + 0.5
        return counts / counts.sum()

    p, q = shares(reference), shares(seen)
    return float(((q - p) * np.log(q / p)).sum())


def psi_by_chance(n_calibration: int, n: int, n_bins: int = N_BINS) -> float:
    """What `psi` stays below with probability .95 where both samples are of one distribution.

    PSI / (1/n + 1/m) is then about chi-squared with n_bins - 1 degrees of freedom (Yurdakul & Naranjo 2020).
    """
    from scipy import stats

    return float(stats.chi2.ppf(CONFIDENCE, n_bins - 1) * (1 / n_calibration + 1 / n))


def wilson(count: int, n: int) -> Share:
    """count / n with its 95% interval (Wilson 1927); n at least 1."""
    from scipy import stats

    interval = stats.binomtest(count, n).proportion_ci(CONFIDENCE, method="wilson")
    return Share(count / n, float(interval.low), float(interval.high))


def tail_by_chance(n_calibration: int, level: float = TAIL) -> float:
    """What the share of normal rows with p <= level stays below for 95% of calibration sets of this size.

    Given the calibration rows that share is fixed; over calibration sets it is Beta(k, n + 1 - k), k = floor(level (n +
    1)) (Vovk 2012). 0 where no row can get so small a p.
    """
    k = math.floor(level * (n_calibration + 1) + 1e-9)
    if k == 0:
        return 0.0
    from scipy import stats

    return float(stats.beta.ppf(CONFIDENCE, k, n_calibration + 1 - k))


def figures(calibration: Calibration, scores: ArrayLike) -> Figures | None:
    """Of anomaly scores (m,), without what needs tables of distributions; None where none of them is a number."""
    seen = _numbers(scores)
    if not len(seen):
        return None
    p_values = calibration.p_values(seen)
    distance, index = ks_distance(calibration.scores, seen), psi(calibration.scores, seen)
    return Figures(distance, index, float((p_values <= TAIL).mean()), float(p_values.mean()))


def drift_report(calibration: Calibration, scores: ArrayLike) -> DriftReport:
    """All of the above for anomaly scores (m,), in any order; NaN among them are counted and left out."""
    seen = _numbers(scores)
    n, n_nan = len(seen), np.size(scores) - len(seen)
    n_infinite = int(np.isinf(seen).sum())
    expected = math.floor(TAIL * (calibration.n + 1) + 1e-9) / (calibration.n + 1)
    found = figures(calibration, seen)
    if found is None:
        verdict = "no scores yet" if not n_nan else "every score is NaN"
        return DriftReport(0, 0, n_nan, None, None, None, None, expected, None, "unknown", verdict)
    chance = psi_by_chance(calibration.n, n)
    tail = wilson(round(found.tail * n), n)
    state, verdict = _judge(n, found.psi, chance, tail, tail_by_chance(calibration.n))
    ks = ks_test(calibration.scores, seen)
    return DriftReport(
        n, n_infinite, n_nan, ks, found.psi, chance, tail, expected, found.mean_p, state, verdict
    )


def _numbers(scores: ArrayLike) -> np.ndarray:
    given = np.asarray(scores, dtype=np.float64)
    return given[~np.isnan(given)]


def _judge(n: int, index: float, chance: float, tail: Share, tail_chance: float) -> tuple[State, str]:
    """psi at .1 and .25, where that is beyond chance, and a tail whose interval lies above what chance allows."""
    if n < MIN_SCORES:
        return "unknown", f"{n} scores are too few to tell; {MIN_SCORES} are needed"
    heavy = tail.low > tail_chance and tail.share > TAIL
    also = (
        f"; {tail.share:.1%} of rows have p <= {TAIL:g}, more than calibration leads to expect"
        if heavy
        else ""
    )
    if index >= PSI_MUCH and index > chance:
        return "drifted", f"the scores have moved (PSI {index:.2f}, at least {PSI_MUCH:g}){also}"
    if index >= PSI_SOME and index > chance:
        return (
            "shifting",
            f"the scores are moving (PSI {index:.2f}, between {PSI_SOME:g} and {PSI_MUCH:g}){also}",
        )
    if heavy:
        return "shifting", f"most scores are as in calibration (PSI {index:.2f}){also}"
    return "stable", f"the scores are as in calibration (PSI {index:.2f})"
