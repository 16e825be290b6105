"""Drift figures against scipy and hand-worked answers, and when they call it drift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ebm.calibration import Calibration
from ebm.drift import drift_report, figures, ks_distance, ks_test, psi, psi_by_chance, tail_by_chance, wilson

NORMAL = np.random.default_rng(0).normal(size=2000)
CALIBRATION = Calibration.fit(NORMAL)


def draws(n: int, shift: float = 0.0, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, n)


def test_ks_is_scipys_and_the_largest_gap() -> None:
    assert ks_distance([1, 2, 3, 4], [3.5, 5, 6, 7, 8]) == pytest.approx(
        0.8
    )  # at 4: all of one, a fifth of the other
    expected = stats.ks_2samp(NORMAL, draws(300, 0.1))
    assert ks_test(NORMAL, draws(300, 0.1)) == pytest.approx((expected.statistic, expected.pvalue))
    assert ks_distance(NORMAL, draws(300, 0.1)) == pytest.approx(expected.statistic)
    tied = [1, 1, 2, 2, 2], [1, 2, 2, 3]
    assert ks_distance(*tied) == pytest.approx(stats.ks_2samp(*tied).statistic)


def test_psi_by_hand() -> None:
    # Cut at 2.5: calibration 2 and 2, scores 1 and 3, half a score added to each.
    p, q = np.array([2.5, 2.5]) / 5, np.array([1.5, 3.5]) / 5
    expected = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert psi([1, 2, 3, 4], [0, 3, 3, 9], n_bins=2) == pytest.approx(expected)
    assert psi(NORMAL, NORMAL) == 0


def test_psi_of_large_samples_is_the_integral() -> None:
    edges = stats.norm.ppf(np.arange(1, 10) / 10)
    q = np.diff(np.concatenate([[0], stats.norm.cdf(edges - 0.7), [1]]))
    expected = ((q - 0.1) * np.log(q / 0.1)).sum()
    big = np.random.default_rng(3).normal(size=200_000)
    assert psi(big, draws(200_000, 0.7)) == pytest.approx(expected, rel=0.03)


def test_psi_takes_repeated_and_infinite_scores() -> None:
    assert psi([1, 1, 1, 1, 1, 2], [1, 1, 2, np.inf, -np.inf]) > 0
    assert psi([1, 1], [1, 1]) == pytest.approx(0)


def test_chance_level_of_psi_is_kept() -> None:
    rng = np.random.default_rng(0)
    level = psi_by_chance(500, 400)
    above = [psi(rng.normal(size=500), rng.normal(size=400)) > level for _ in range(600)]
    assert 0.025 < np.mean(above) < 0.08


def test_wilson_by_hand() -> None:
    # Wilson (1927) by its formula, z = 1.959964: k = 3 of n = 50.
    z, n, p = stats.norm.ppf(0.975), 50, 3 / 50
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert wilson(3, 50) == pytest.approx((p, centre - half, centre + half))
    assert wilson(0, 20).low == pytest.approx(0, abs=1e-12) and wilson(0, 20).high > 0.1


def test_the_tails_chance_level_covers_95_percent_of_calibration_sets() -> None:
    rng = np.random.default_rng(0)
    # Uniform scores: of a set of 300, the share of normal rows with p <= .01 is 1 - the 3rd largest.
    shares = [1 - np.sort(rng.uniform(size=300))[-3] for _ in range(3000)]
    assert np.mean(shares < np.array(tail_by_chance(300))) == pytest.approx(0.95, abs=0.015)
    assert tail_by_chance(98) == 0 and tail_by_chance(99) > 0


def test_nothing_changed() -> None:
    report = drift_report(CALIBRATION, draws(3000))
    assert report.state == "stable" and report.n == 3000
    assert report.ks.p_value > 0.01 and report.psi < 0.03
    assert report.mean_p == pytest.approx(0.5, abs=0.03)
    assert report.tail.low < 0.01 < report.tail.high
    assert report.tail_expected == pytest.approx(20 / 2001)


@pytest.mark.parametrize(
    ("shift", "state"), [(0.1, "stable"), (0.45, "shifting"), (0.8, "drifted"), (-0.8, "drifted")]
)
def test_a_shift_is_called_by_its_psi(shift: float, state: str) -> None:
    report = drift_report(CALIBRATION, draws(3000, shift))
    assert report.state == state and f"PSI {report.psi:.2f}" in report.verdict


def test_a_few_anomalies_show_in_the_tail_alone() -> None:
    scores = np.concatenate([draws(1900), np.full(100, 9.0)])
    report = drift_report(CALIBRATION, scores)
    assert report.psi < 0.1 and report.state == "shifting" and "p <= 0.01" in report.verdict
    assert report.tail.share == pytest.approx(np.mean(CALIBRATION.p_values(scores) <= 0.01))


def test_small_calibration_sets_do_not_cry_wolf() -> None:
    rng = np.random.default_rng(5)
    states = [
        drift_report(Calibration.fit(rng.normal(size=150)), rng.normal(size=150)).state for _ in range(200)
    ]
    assert states.count("stable") > 170


def test_too_few_and_no_scores() -> None:
    assert drift_report(CALIBRATION, draws(99, 3.0)).state == "unknown"
    empty = drift_report(CALIBRATION, [])
    assert empty.state == "unknown" and empty.ks is empty.psi is empty.tail is empty.mean_p is None


def test_scores_that_are_not_finite_are_counted() -> None:
    scores = np.concatenate([draws(500), [np.inf] * 30, [-np.inf], [np.nan] * 7])
    report = drift_report(CALIBRATION, scores)
    assert (report.n, report.n_infinite, report.n_nan) == (531, 31, 7)
    assert math.isfinite(report.psi) and math.isfinite(report.ks.distance) and report.tail.share > 30 / 531
    assert drift_report(CALIBRATION, [np.nan]).verdict == "every score is NaN"


def test_cheap_figures_are_those_of_the_report() -> None:
    scores = np.concatenate([draws(400, 0.3), [np.nan, np.inf]])
    report = drift_report(CALIBRATION, scores)
    assert figures(CALIBRATION, scores) == pytest.approx(
        (report.ks.distance, report.psi, report.tail.share, report.mean_p)
    )
    assert figures(CALIBRATION, [np.nan]) is None
