"""Counts of scores among the calibration scores against what the scores themselves say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ebm.calibration import Calibration
from ebm.drift import drift_report_of, ks_distance, ks_of
from ebm.score_counts import ScoreCounts


def samples(seed: int) -> tuple[Calibration, np.ndarray]:
    """With ties inside and between both, and infinities."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 60)), int(rng.integers(1, 90))
    digits = int(rng.integers(0, 4))
    scores = rng.normal(rng.normal(), 1, m).round(digits)
    scores[rng.random(m) < 0.1] = rng.choice([np.inf, -np.inf])
    return Calibration.fit(rng.normal(size=n).round(digits)), scores


@pytest.mark.parametrize("seed", range(40))
def test_counts_say_what_the_scores_say(seed: int) -> None:
    calibration, scores = samples(seed)
    counts = ScoreCounts(calibration).add(scores)
    assert counts.n == len(scores) and counts.n_infinite == np.isinf(scores).sum()
    assert counts.ks_distance() == pytest.approx(ks_distance(calibration.scores, scores), abs=1e-15)
    values, number = np.unique(calibration.p_values(scores), return_counts=True)
    there = counts.by_p_value > 0
    assert counts.p_values[there][::-1].tolist() == values.tolist()
    assert counts.by_p_value[there][::-1].tolist() == number.tolist()
    finite = np.clip(scores, -1e6, 1e6)
    expected = stats.ks_2samp(calibration.scores, finite)
    assert ks_of(counts) == pytest.approx((expected.statistic, expected.pvalue))


def test_parts_add_up_in_any_order() -> None:
    calibration, scores = samples(3)
    whole = ScoreCounts(calibration).add(scores)
    merged = ScoreCounts(calibration)
    for part in reversed(np.array_split(scores, 5)):
        one = ScoreCounts(calibration).add(part)
        merged.merge(one.ranks, one.bins, one.n_infinite)
    assert merged.ranks.tolist() == whole.ranks.tolist() and merged.bins.tolist() == whole.bins.tolist()
    assert drift_report_of(merged) == drift_report_of(whole)
    with pytest.raises(ValueError, match="another calibration"):
        merged.merge(np.zeros(3, np.int64), merged.bins, 0)


def test_many_scores_take_the_asymptotic_p_value_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    calibration, scores = Calibration.fit(rng.normal(size=300)), rng.normal(0.05, 1, 12_000)
    found = stats.ks_2samp(calibration.scores, scores)
    assert ks_of(ScoreCounts(calibration).add(scores)) == pytest.approx((found.statistic, found.pvalue))
