import numpy as np
import pytest

from ebm.errors import BadInput
from ebm.evaluation import metrics

SCORES = [0.9, 0.8, 0.7, 0.2, 0.1]
LABELS = [1, 0, 1, 0, 0]


def test_a_case_worked_by_hand():
    # Pairs won: the first anomaly beats 3 of 3, the second 2 of 3.
    assert metrics.auroc(SCORES, LABELS) == pytest.approx(5 / 6)
    # Precision 1/1 at the first anomaly, 2/3 at the second, each adding half of the recall.
    assert metrics.auprc(SCORES, LABELS) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert metrics.fpr_at_tpr(SCORES, LABELS) == pytest.approx(1 / 3)
    assert metrics.fpr_at_tpr(SCORES, LABELS, 0.5) == 0
    assert metrics.precision_at_n(SCORES, LABELS) == pytest.approx(0.5)


def test_higher_is_more_anomalous():
    report = metrics.report([3, 2, 1], [1, 0, 0])
    assert report == {"auroc": 1, "auprc": 1, "fpr_at_95_tpr": 0, "precision_at_n": 1}
    assert metrics.auroc([1, 2, 3], [1, 0, 0]) == 0


def test_a_constant_score_is_chance_everywhere():
    report = metrics.report(np.zeros(8), [1, 1, 0, 0, 0, 0, 0, 0])
    assert report == {"auroc": 0.5, "auprc": 0.25, "fpr_at_95_tpr": 1, "precision_at_n": 0.25}


def test_ties_at_the_cut_count_by_their_share():
    # Two places: one goes to the 5, the other to one of the three 4s, of which one is an anomaly.
    assert metrics.precision_at_n([5, 4, 4, 4, 0], [1, 1, 0, 0, 0]) == pytest.approx((1 + 1 / 3) / 2)


def test_an_overflowed_score_ranks_first():
    assert metrics.auroc([np.inf, 1, 0], [1, 0, 0]) == 1
    assert metrics.auroc([-np.inf, 1, 0], [1, 0, 0]) == 0


@pytest.mark.parametrize(
    ("scores", "labels", "culprit"),
    [
        ([1, 2], [1, 0, 1], "one length"),
        ([1, np.nan], [1, 0], "row 1"),
        ([1, 2], [1, 1], "at least one normal"),
        ([1, 2], [0, 0], "at least one normal"),
        ([1, 2, 3], [0, 1, 2], "row 2: label"),
        ([], [], "at least one normal"),
    ],
)
def test_bad_input_names_the_culprit(scores, labels, culprit):
    with pytest.raises(BadInput, match=culprit):
        metrics.report(scores, labels)


def test_bad_parameters():
    with pytest.raises(BadInput, match="tpr"):
        metrics.fpr_at_tpr(SCORES, LABELS, 0)
    with pytest.raises(BadInput, match="n must lie"):
        metrics.precision_at_n(SCORES, LABELS, 6)
