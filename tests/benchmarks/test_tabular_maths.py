"""Means, ranks, tests and intervals on numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _tabular_maths import collect, gain, mean_rank, rates, within
from _tabular_store import Cell, Cells


def stored(path: Path, figures: dict[tuple[str, int, str], dict[str, float]]) -> Cells:
    cells = Cells(path / "t.csv")
    for (name, seed, method), found in figures.items():
        cells.add(Cell("normal", name, seed, method), "1", dict(found))
    return cells


def test_mean_rank_counts_from_the_highest_shares_ties_and_puts_failures_last() -> None:
    figures = np.array([[0.9, 0.5, np.nan], [0.8, 0.5, 0.4], [0.7, 0.9, 0.6]])
    assert mean_rank(figures).tolist() == pytest.approx(
        [(1 + 2.5 + 3) / 3, (2 + 2.5 + 2) / 3, (3 + 1 + 1) / 3]
    )


def test_mean_rank_leaves_out_sets_nobody_finished() -> None:
    assert mean_rank(np.array([[0.9, np.nan], [0.8, np.nan]])).tolist() == [1.0, 2.0]


def test_wilcoxon_of_six_gains_is_two_in_sixty_four() -> None:
    ours = np.array([0.6, 0.7, 0.8, 0.9, 0.75, 0.85, 0.5])
    theirs = ours - np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, np.nan])
    found = gain(ours, theirs)
    assert found.sets == 6 and found.mean == pytest.approx(0.035) and found.p == pytest.approx(2 / 64)
    assert gain(theirs, ours).mean == pytest.approx(-0.035)


def test_wilcoxon_with_one_small_loss() -> None:
    # Signed ranks -1, +2, ..., +6: sums of 0 or 1 on one side arise in 2 of 64 sign patterns, both sides 4.
    found = gain(np.zeros(6), np.array([0.1, -0.2, -0.3, -0.4, -0.5, -0.6]))
    assert found.p == pytest.approx(4 / 64)


def test_equal_figures_are_no_difference() -> None:
    assert gain(np.ones(3), np.ones(3)) == (0.0, 1.0, 3)
    assert gain(np.array([np.nan]), np.ones(1)).sets == 0


def test_means_are_over_the_seeds_that_finished(tmp_path: Path) -> None:
    cells = stored(tmp_path, {("a", 0, "m"): {"auroc": 0.5}, ("a", 1, "m"): {"auroc": 0.7}})
    cells.add(Cell("normal", "a", 2, "m"), "1", {"error": "no"})
    found = collect(cells, "normal", "auroc", ["m", "other"], ["a", "b"], [0, 1, 2])
    assert found[0, 0] == pytest.approx(0.6) and np.isnan(found).tolist() == [[False, True], [True, True]]


def test_binomial_interval_of_a_hundred_rows_at_five_percent() -> None:
    # P(X <= 1) = .037 and P(X <= 0) = .006; P(X <= 9) = .972 and P(X <= 10) = .989.
    assert [k for k in range(20) if within(k, 100, 0.05)] == list(range(1, 11))


def test_conformal_interval_is_wider_and_zero_where_no_p_value_is_small_enough() -> None:
    # One calibration row at a rate of a half: the actual rate is uniform, so is the count over 0, ..., 99.
    assert [k for k in range(100) if within(k, 99, 0.5, calibrated=1)] == list(range(2, 98))
    assert within(0, 1000, 0.01, calibrated=98) and not within(1, 1000, 0.01, calibrated=98)
    # 99 calibration rows: the smallest p-value is 1/100, exactly the rate, so one row may be flagged.
    assert within(1, 1000, 0.01, calibrated=99)


def test_rates_of_two_sets(tmp_path: Path) -> None:
    def row(flagged: int) -> dict[str, float]:
        return {"n_train": 1000, "normals": 100, "flagged_01": 1, "flagged_05": flagged, "flagged_10": 10}

    cells = stored(tmp_path, {("a", 0, "m"): row(5), ("a", 1, "m"): row(11), ("b", 0, "m"): row(30)})
    one, five, ten = rates(cells, "normal", "m", ["a", "b", "c"], [0, 1])
    assert (one.actual, one.cells, one.sets) == (0.01, 1.0, 1.0) and ten.actual == pytest.approx(0.1)
    assert five.actual == pytest.approx((0.08 + 0.30) / 2) and five.worst == ("b", pytest.approx(0.3))
    assert five.cells == pytest.approx(1 / 3) and five.sets == pytest.approx(1 / 2)
    assert rates(cells, "normal", "other", ["a", "b"], [0, 1]) == []
