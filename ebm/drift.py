"""Whether the rows of late look like the calibration rows, by their anomaly scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ebm.calibration import Calibration
from ebm.score_counts import N_BINS, ScoreCounts, deciles

TAIL = 0.01  # share of p-values at or below this
PSI_SOME, PSI_MUCH = 0.1, 0.25  # the usual rule of thumb (Siddiqi 2006)
MIN_SCORES = 100
EXACT = 10_000  # sizes up to which the p-value of Kolmogorov-Smirnov is exact
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


def ks_of(counts: ScoreCounts) -> KS:
    """`ks_test` of scores that were counted, at least one."""
    m, n = counts.calibration.n, counts.n
    if max(m, n) <= EXACT:
        return ks_test(*counts.places())
    from scipy import stats

    distance = counts.ks_distance()
    return KS(distance, float(stats.kstwo.sf(distance, np.round(m * n / (m + n)))))  # as scipy does


def psi(calibration: ArrayLike, scores: ArrayLike, n_bins: int = N_BINS) -> float:
    """Population stability index: sum over bins of (q - p) log(q / p), p and q the shares of calibration and scores.

    Bins are cut at the quantiles of the calibration scores, fewer where these repeat. Half a score is added to each
    bin, so that an empty one does not make the sum infinite.

    Source: Siddiqi (2006); Yurdakul & Naranjo (2020) for its distribution.
    """
    reference, seen = (np.asarray(x, dtype=np.float64) for x in (calibration, scores))
    edges = deciles(reference, n_bins)
    return _psi(*(_binned(x, edges) for x in (reference, seen)))


def _binned(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(edges, x, side="right"), minlength=len(edges) + 1)


def _psi(reference: np.ndarray, seen: np.ndarray) -> float:
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (reference, seen))
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
    return figures_of(ScoreCounts(calibration).add(scores))


def figures_of(counts: ScoreCounts) -> Figures | None:
    """`figures` of scores that were counted."""
    if not counts.n:
        return None
    reference = _binned(counts.calibration.scores, deciles(counts.calibration.scores))
    p_values, number = counts.p_values, counts.by_p_value
    tail = int(number[p_values <= TAIL].sum()) / counts.n
    mean_p = float((p_values * number).sum() / counts.n)
    return Figures(counts.ks_distance(), _psi(reference, counts.bins), tail, mean_p)


def drift_report(calibration: Calibration, scores: ArrayLike) -> DriftReport:
    """All of the above for anomaly scores (m,), in any order; NaN among them are counted and left out."""
    return drift_report_of(ScoreCounts(calibration).add(scores))


def drift_report_of(counts: ScoreCounts) -> DriftReport:
    """`drift_report` of scores that were counted, however many."""
    calibration, n, n_nan = counts.calibration, counts.n, counts.n_nan
    expected = math.floor(TAIL * (calibration.n + 1) + 1e-9) / (calibration.n + 1)
    found = figures_of(counts)
    if found is None:
        verdict = "no scores yet" if not n_nan else "every score is NaN"
        return DriftReport(0, 0, n_nan, None, None, None, None, expected, None, "unknown", verdict)
    chance = psi_by_chance(calibration.n, n)
    tail = wilson(round(found.tail * n), n)
    state, verdict = _judge(n, found.psi, chance, tail, tail_by_chance(calibration.n))
    return DriftReport(
        n,
        counts.n_infinite,
        n_nan,
        ks_of(counts),
        found.psi,
        chance,
        tail,
        expected,
        found.mean_p,
        state,
        verdict,
    )


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
