"""The PyOD adapter keeps PyOD's contract: what PyOD's own tests ask of each of its detectors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pyod.utils.data import generate_data
from pyod.utils.utility import precision_n_scores
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from ebm.pyod import EBM

CONTAMINATION = 0.1
ROC_FLOOR = 0.8
X_TRAIN, X_TEST, Y_TRAIN, Y_TEST = generate_data(
    n_train=200, n_test=100, contamination=CONTAMINATION, random_state=42
)


@pytest.fixture(scope="module")
def clf() -> EBM:
    return EBM(contamination=CONTAMINATION).fit(X_TRAIN)


def test_what_a_fit_leaves(clf: EBM) -> None:
    assert clf.decision_scores_.shape == (200,)
    assert clf.decision_scores_.tolist() == clf.estimator_.training_anomaly_scores_.tolist()
    assert clf.labels_.tolist() == (clf.decision_scores_ > clf.threshold_).astype(int).tolist()
    assert clf.labels_.sum() == CONTAMINATION * 200
    assert (clf._mu, clf._sigma) == (clf.decision_scores_.mean(), clf.decision_scores_.std())
    assert roc_auc_score(Y_TRAIN, clf.decision_scores_) >= ROC_FLOOR


def test_scores_of_new_rows_rise_with_anomaly(clf: EBM) -> None:
    scores = clf.decision_function(X_TEST)
    assert scores.shape == (100,)
    assert roc_auc_score(Y_TEST, scores) >= ROC_FLOOR
    assert scores.tolist() == (-clf.estimator_.score_samples(X_TEST)).tolist()


def test_labels_of_new_rows(clf: EBM) -> None:
    labels = clf.predict(X_TEST)
    assert labels.tolist() == (clf.decision_function(X_TEST) > clf.threshold_).astype(int).tolist()
    assert (labels == Y_TEST).mean() > 0.9


@pytest.mark.parametrize("method", ["linear", "unify"])
def test_probabilities(clf: EBM, method: str) -> None:
    proba = clf.predict_proba(X_TEST, method=method)
    assert proba.shape == (100, 2)
    assert proba.min() >= 0 and proba.max() <= 1
    assert proba.sum(axis=1) == pytest.approx(np.ones(100))
    assert roc_auc_score(Y_TEST, proba[:, 1]) >= ROC_FLOOR


def test_an_unknown_method_is_refused(clf: EBM) -> None:
    with pytest.raises(ValueError):
        clf.predict_proba(X_TEST, method="something")


def test_confidence(clf: EBM) -> None:
    labels, confidence = clf.predict(X_TEST, return_confidence=True)
    assert labels.shape == confidence.shape == (100,)
    assert confidence.min() >= 0 and confidence.max() <= 1
    proba, again = clf.predict_proba(X_TEST, method="linear", return_confidence=True)
    assert proba.min() >= 0 and proba.max() <= 1
    assert again.tolist() == confidence.tolist()


def test_rejection(clf: EBM) -> None:
    labels, figures = clf.predict_with_rejection(X_TEST, return_stats=True, c_r=CONTAMINATION)
    assert set(labels) <= {-2, 0, 1} and labels.shape == (100,)
    assert 0 <= figures[0] <= 1 and 0 <= figures[1] <= 1 and figures[2] >= 0


def test_fit_predict() -> None:
    clf = EBM(contamination=CONTAMINATION, network=False)
    with pytest.warns(FutureWarning, match="fit_predict is deprecated"):
        labels = clf.fit_predict(X_TRAIN)
    assert labels.tolist() == clf.labels_.tolist()


@pytest.mark.filterwarnings("ignore:Function fit_predict_score is deprecated:FutureWarning")
def test_fit_predict_score() -> None:
    clf = EBM(contamination=CONTAMINATION, network=False)
    score = clf.fit_predict_score(X_TEST, Y_TEST)
    assert score == roc_auc_score(Y_TEST, clf.decision_scores_) >= ROC_FLOOR
    found = clf.fit_predict_score(X_TEST, Y_TEST, scoring="prc_n_score")
    assert found == precision_n_scores(Y_TEST, clf.decision_scores_)
    with pytest.raises(NotImplementedError):
        clf.fit_predict_score(X_TEST, Y_TEST, scoring="something")


@pytest.mark.parametrize("normalized", [False, True])
def test_ranks(clf: EBM, normalized: bool) -> None:
    scores = clf.decision_function(X_TEST)
    ranks = clf._predict_rank(X_TEST, normalized=normalized)
    assert np.abs(rankdata(ranks) - rankdata(scores)).max() <= 4  # PyOD's own detectors are asked for 2 to 4
    assert ranks.min() >= 0 and ranks.max() <= (1 if normalized else 200)


def test_clone_and_parameters() -> None:
    copy = clone(EBM(contamination=0.2, training_contamination=None, random_state=3))
    assert copy.get_params() == {
        "contamination": 0.2,
        "training_contamination": None,
        "network": "auto",
        "random_state": 3,
        "device": "cpu",
    }
    assert not hasattr(copy, "decision_scores_")


def test_parameters_reach_the_estimator() -> None:
    clf = EBM(training_contamination=0.2, network=False, random_state=3).fit(X_TRAIN)
    found = clf.estimator_.get_params()
    assert (found["contamination"], found["network"], found["random_state"]) == (0.2, False, 3)


def test_contamination_moves_labels_not_scores() -> None:
    few, many = (EBM(contamination=c, network=False).fit(X_TRAIN) for c in (0.05, 0.3))
    assert few.decision_scores_.tolist() == many.decision_scores_.tolist()
    assert (few.labels_.sum(), many.labels_.sum()) == (10, 60)
    with pytest.raises(ValueError, match="contamination must be in"):
        EBM(contamination=0.7)


def test_missing_numbers_are_accepted() -> None:
    rows = X_TRAIN.copy()
    rows[::9, 0] = np.nan
    assert np.isfinite(EBM(network=False).fit(rows).decision_function(rows)).all()


def test_without_pyod_the_extra_is_named() -> None:
    code = "import sys; sys.modules['pyod'] = None; import ebm.pyod"
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.endswith("ImportError: ebm.pyod needs PyOD: pip install 'ebm-service[pyod]'\n")
