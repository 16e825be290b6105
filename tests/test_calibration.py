import itertools
import math

import numpy as np
import pytest

from ebm.calibration import Calibration, benjamini_hochberg
from ebm.errors import BadArtifact, BadInput


def test_p_values_by_hand():
    calibration = Calibration.fit([3.0, 1.0, 2.0, 4.0])
    p = calibration.p_values([5.0, 4.0, 3.5, 1.0, 0.0])
    np.testing.assert_array_equal(p, np.array([1, 2, 2, 5, 5]) / 5)


def test_ties_count_against_anomaly():
    calibration = Calibration.fit([1.0, 1.0, 1.0, 2.0])
    np.testing.assert_array_equal(calibration.p_values([1.0, 2.0, 1.5]), [1.0, 0.4, 0.4])


def test_p_values_keep_their_shape_and_infinities_rank():
    calibration = Calibration.fit([1.0, 2.0])
    assert calibration.p_values(np.zeros((3, 2))).shape == (3, 2)
    np.testing.assert_allclose(calibration.p_values([np.inf, -np.inf]), [1 / 3, 1.0])


@pytest.mark.parametrize("n", [1, 4])
def test_exactly_uniform_over_all_orders_of_exchangeable_rows(n):
    # Every order of n + 1 distinct scores is equally likely: p must take 1/(n+1), ..., 1 equally often.
    p = [
        Calibration.fit(order[:-1]).p_values([order[-1]])[0] for order in itertools.permutations(range(n + 1))
    ]
    values, counts = np.unique(p, return_counts=True)
    np.testing.assert_allclose(values, np.arange(1, n + 2) / (n + 1))
    assert set(counts) == {math.factorial(n)}


def test_with_ties_p_is_valid_over_all_orders():
    scores = [0, 0, 1, 1, 1]
    p = np.array([Calibration.fit(o[:-1]).p_values([o[-1]])[0] for o in itertools.permutations(scores)])
    for level in np.arange(1, 6) / 5:
        assert (p <= level).mean() <= level + 1e-12


def test_the_actual_false_positive_rate():
    rng = np.random.default_rng(0)
    rates = [
        (Calibration.fit(rng.standard_t(2, 199)).p_values(rng.standard_t(2, 200)) <= 0.05).mean()
        for _ in range(300)
    ]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.004)


@pytest.mark.parametrize("n", [1, 19, 21, 99, 341])
# 0.29 * 100 rounds below 29; just below 9/22, times 22, rounds up to 9.
@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.1, 0.29, math.nextafter(9 / 22, 0), 0.5, 0.95])
def test_threshold_and_p_value_agree(n, fpr):
    rng = np.random.default_rng(n)
    for drawn in (rng.permutation(n), rng.integers(0, 5, n)):
        calibration = Calibration.fit(drawn)
        scores = np.concatenate([calibration.scores, calibration.scores + 0.5, [-1, n + 1]])
        flagged = calibration.p_values(scores) <= fpr
        np.testing.assert_array_equal(scores > calibration.threshold(fpr), flagged)
        assert flagged.any() == calibration.resolvable(fpr)


def test_what_cannot_be_resolved_is_said():
    calibration = Calibration.fit(np.arange(19))
    assert calibration.resolvable(0.05) and calibration.note(fpr=0.05) is None
    assert not calibration.resolvable(0.049) and calibration.threshold(0.049) == math.inf
    note = calibration.note(fpr=0.01)
    assert note is not None and "19 calibration rows" in note
    assert calibration.note(fdr=0.05, rows=1) is None
    note = calibration.note(fdr=0.1, rows=10)
    assert note is not None and "fewer than 5 anomalies" in note
    # That note is right: 4 rows at the smallest p are not flagged, 5 are.
    for k, any_flagged in ((4, False), (5, True)):
        p = np.concatenate([np.full(k, 1 / 20), np.ones(10 - k)])
        assert benjamini_hochberg(p, 0.1).any() == any_flagged
    note = calibration.note(fdr=0.01, rows=10)
    assert note is not None and "cannot flag any row" in note


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, math.nan])
def test_rates_outside_the_unit_interval(rate):
    calibration = Calibration.fit([1.0, 2.0])
    for call in (calibration.threshold, calibration.resolvable):
        with pytest.raises(BadInput, match="fpr must lie between 0 and 1"):
            call(rate)
    with pytest.raises(BadInput, match="fdr must lie between 0 and 1"):
        benjamini_hochberg([0.5], rate)


def test_benjamini_hochberg_on_the_example_of_the_paper():
    # Benjamini & Hochberg (1995), section 3.2: 15 p-values, of which the first four fall at q = .05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    np.testing.assert_array_equal(benjamini_hochberg(p, 0.05), np.arange(15) < 4)


def test_benjamini_hochberg_steps_up():
    # The second fails on its own (0.03 > 0.025) and is carried by the fourth; order of rows is kept.
    np.testing.assert_array_equal(
        benjamini_hochberg([0.035, 0.5, 0.03, 0.01], 0.05), [True, False, True, True]
    )
    assert benjamini_hochberg([], 0.1).shape == (0,)


def test_false_discoveries_stay_below_the_level():
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(200):
        calibration = Calibration.fit(rng.normal(size=999))
        scores = np.concatenate([rng.normal(size=90), rng.normal(size=10) + 6])
        flagged = benjamini_hochberg(calibration.p_values(scores), 0.2)
        shares.append(flagged[:90].sum() / max(flagged.sum(), 1))
    assert 0.1 < np.mean(shares) <= 0.2


def test_arrays_there_and_back():
    calibration = Calibration.fit([2.0, 1.0, 4.0])
    again = Calibration.from_arrays(calibration.arrays())
    np.testing.assert_array_equal(again.scores, [1.0, 2.0, 4.0])
    assert again.scores.dtype == np.float64
    assert (again.n, again.mean) == (3, pytest.approx(7 / 3))
    assert again.sd == pytest.approx(np.std([1, 2, 4]))


@pytest.mark.parametrize("scores", [[], [2.0, 1.0], [1.0, np.nan], [[1.0]]])
def test_a_broken_artefact_is_refused(scores):
    with pytest.raises(BadArtifact, match="ascending"):
        Calibration.from_arrays({"scores": np.array(scores)})
    with pytest.raises(BadArtifact):
        Calibration.from_arrays({})


def test_bad_scores_are_named():
    with pytest.raises(BadInput, match="row 1"):
        Calibration.fit([1.0, np.nan])
    with pytest.raises(BadInput, match="at least 1"):
        Calibration.fit([])
    with pytest.raises(BadInput, match="row 2"):
        Calibration.fit([1.0]).p_values([0, 1, np.nan])
    with pytest.raises(BadInput, match="row 0"):
        benjamini_hochberg([1.2], 0.1)
