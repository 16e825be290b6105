"""The scikit-learn estimator: scikit-learn's own checks, signs, p-values of training rows, disk."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from ebm.artifact import publish
from ebm.detector import Detector
from ebm.errors import BadInput
from ebm.estimator import EnergyDetector, _seed


def ring(n: int, seed: int = 0) -> np.ndarray:
    """Normal rows (n, 3): a noisy circle of radius 3 in two columns, noise in the third."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    clean = np.column_stack([3 * np.cos(angle), 3 * np.sin(angle), np.zeros(n)])
    return clean + rng.normal(0, 0.3, (n, 3))


FAR = np.array([[-20.0, 0.0, 0.0], [9.0, 9.0, 0.0], [3.0, 0.0, 8.0]])


def strays(n: int, seed: int) -> np.ndarray:
    """Anomalies (n, 3), scattered outside the circle: all coordinates between 4 and 12 from 0."""
    rng = np.random.default_rng(seed)
    return rng.uniform(4, 12, (n, 3)) * rng.choice([-1, 1], (n, 3))


@pytest.fixture(scope="module")
def fitted() -> EnergyDetector:
    return EnergyDetector(network=False).fit(ring(200))


# Some of the checks fit fewer than 19 rows, of which 5% cannot be told: that is said.
@pytest.mark.filterwarnings("ignore:fpr 0.05 is below the smallest p-value:UserWarning")
@parametrize_with_checks([EnergyDetector()])
def test_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


# -- signs and labels -----------------------------------------------------------------------------------------------


def test_signs_are_those_of_scikit_learn(fitted: EnergyDetector) -> None:
    normal = ring(50, seed=1)
    assert fitted.score_samples(normal).min() > fitted.score_samples(FAR).max()
    assert fitted.energy(normal).max() < fitted.energy(FAR).min()
    assert fitted.p_values(normal).mean() > 0.4
    assert fitted.p_values(FAR).tolist() == [1 / 201] * 3
    assert fitted.predict(FAR).tolist() == [-1] * 3
    assert (fitted.decision_function(FAR) < 0).all()


def test_scores_are_those_of_the_detector(fitted: EnergyDetector) -> None:
    rows = ring(32, seed=2)
    scores = fitted.detector_.score(rows, fpr=0.05)
    assert fitted.energy(rows).tolist() == scores.energy.tolist()
    assert fitted.score_samples(rows).tolist() == (-scores.anomaly_score).tolist()
    assert fitted.p_values(rows).tolist() == scores.p_value.tolist()
    assert (fitted.predict(rows) == -1).tolist() == scores.is_anomaly.tolist()


@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.2, 0.5])
def test_labels_say_the_same_as_p_values(fpr: float) -> None:
    detector = EnergyDetector(fpr=fpr, network=False).fit(ring(150))
    rows = np.concatenate([ring(150), ring(400, seed=3), np.linspace(ring(1), FAR[1:2], 50)[:, 0]])
    outlier = detector.p_values(rows) <= fpr
    assert 0 < outlier.sum() < len(rows)
    assert ((detector.predict(rows) == -1) == outlier).all()
    assert ((detector.decision_function(rows) < 0) == outlier).all()


def test_a_row_has_the_same_score_in_any_company(fitted: EnergyDetector) -> None:
    rows = ring(37, seed=4)
    alone = np.concatenate([fitted.score_samples(rows[i : i + 1]) for i in range(len(rows))])
    assert alone.tolist() == fitted.score_samples(rows).tolist()


def test_new_normal_rows_are_labelled_at_the_requested_rate() -> None:
    n, m, fpr = 300, 2000, 0.1
    detector = EnergyDetector(fpr=fpr, network=False).fit(ring(n))
    actual = float((detector.predict(ring(m, seed=5)) == -1).mean())
    # The rate given the training rows is Beta(k, n + 1 - k), k = fpr (n + 1); m rows estimate it.
    low, high = beta.ppf([0.001, 0.999], fpr * (n + 1), (1 - fpr) * (n + 1))
    assert low - 0.02 < actual < high + 0.02


def test_rows_beyond_all_numbers_are_outliers_with_finite_scores(fitted: EnergyDetector) -> None:
    beyond = np.full((1, 3), 1e30)
    assert np.isfinite(fitted.score_samples(beyond)).all()
    assert np.isfinite(fitted.decision_function(beyond)).all()
    assert fitted.predict(beyond).tolist() == [-1]


def test_too_few_rows_for_the_rate_are_said_and_flag_nothing() -> None:
    with pytest.warns(UserWarning, match="fpr 0.05 is below the smallest p-value, 0.091 with 10"):
        detector = EnergyDetector(network=False).fit(ring(10))
    assert detector.offset_ == -np.inf
    assert detector.predict(FAR).tolist() == [1, 1, 1]
    assert np.isfinite(detector.score_samples(FAR)).all()


# -- the training rows ----------------------------------------------------------------------------------------------


def test_training_rows_are_scored_by_the_others(fitted: EnergyDetector) -> None:
    assert fitted.training_anomaly_scores_.shape == (200,)
    calibration = fitted.detector_.calibration
    assert np.sort(fitted.training_anomaly_scores_).tolist() == calibration.scores.tolist()
    assert np.sort(fitted.training_p_values_) == pytest.approx(np.arange(2, 202) / 201)
    in_sample = -fitted.score_samples(ring(200))
    assert (fitted.training_anomaly_scores_ > in_sample).mean() > 0.9


def test_fit_predict_labels_training_rows_by_the_others() -> None:
    rows = np.concatenate([ring(200), FAR])
    detector = EnergyDetector(contamination="auto", network=False)
    labels = detector.fit_predict(rows)
    assert ((labels == -1) == (detector.training_p_values_ <= 0.05)).all()
    assert labels[-3:].tolist() == [-1, -1, -1]
    assert (labels == -1).mean() < 0.2


def test_fit_predict_is_for_training_rows_that_may_be_anomalous() -> None:
    assert not hasattr(EnergyDetector(), "fit_predict")
    assert hasattr(EnergyDetector(contamination=0.1), "fit_predict")
    with pytest.raises(AttributeError) as error:
        EnergyDetector().fit_predict(ring(30))
    assert "contamination=None takes to be normal" in str(error.value.__cause__)


def test_contamination_is_of_the_training_rows_not_the_alarm_rate() -> None:
    rows = np.concatenate([ring(200), strays(30, seed=1)])
    trusting = EnergyDetector(network=False).fit(rows)
    wary = EnergyDetector(contamination=30 / 230, network=False).fit(rows)
    found, missed = ((d.predict(strays(100, seed=2)) == -1).mean() for d in (wary, trusting))
    assert found > 0.9 > 0.6 > missed
    assert (wary.predict(ring(1000, seed=6)) == -1).mean() < 0.1


# -- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fpr": 0}, r"fpr must lie in \(0, 1\), got 0"),
        ({"fpr": 1.0}, "fpr must"),
        ({"fpr": "5%"}, "got '5%'"),
        ({"fpr": True}, "fpr must"),
        ({"contamination": 0.6}, r"contamination must be None, 'auto' or a share in \(0, 0.5\], got 0.6"),
        ({"contamination": 0}, "contamination must"),
        ({"contamination": "some"}, "contamination must"),
        ({"network": "yes"}, "network must be True, False or 'auto', got 'yes'"),
    ],
)
def test_parameters_out_of_range_are_named(parameters: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        EnergyDetector(**parameters).fit(ring(30))


def test_the_same_seed_gives_the_same_scores_and_none_another() -> None:
    def scores(state: Any) -> list[float]:
        return EnergyDetector(network=True, random_state=state).fit(ring(60)).score_samples(FAR).tolist()

    assert scores(0) == scores(0) != scores(1)


def test_random_states_of_scikit_learn_become_seeds() -> None:
    assert _seed(np.int64(7)) == 7
    assert (
        _seed(np.random.RandomState(3)) == _seed(np.random.RandomState(3)) != _seed(np.random.RandomState(4))
    )
    np.random.seed(0)
    assert _seed(None) != _seed(None)


def test_clone_keeps_parameters_and_forgets_the_fit(fitted: EnergyDetector) -> None:
    copy = clone(fitted.set_params(fpr=0.05))
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.p_values(FAR)


# -- in company of scikit-learn -------------------------------------------------------------------------------------


def test_in_a_pipeline() -> None:
    pipeline = make_pipeline(StandardScaler(), EnergyDetector(network=False)).fit(ring(150))
    assert pipeline.predict(FAR).tolist() == [-1, -1, -1]
    assert pipeline.score_samples(ring(20, seed=1)).min() > pipeline.score_samples(FAR).max()


def test_grid_search_ranks_by_a_scorer() -> None:
    rows = np.concatenate([ring(120), strays(30, seed=1)])
    y = np.repeat([1, 0], [120, 30])
    order = np.random.default_rng(0).permutation(150)
    grid = {"contamination": [None, 0.2]}
    search = GridSearchCV(EnergyDetector(network=False), grid, scoring="roc_auc", cv=3, error_score="raise")
    search.fit(rows[order], y[order])
    assert search.cv_results_["mean_test_score"].min() > 0.9
    assert search.score_samples(ring(20, seed=1)).min() > search.score_samples(strays(20, seed=2)).max()


def test_a_pickled_estimator_scores_alike(fitted: EnergyDetector) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    assert again.score_samples(FAR).tolist() == fitted.score_samples(FAR).tolist()


# -- rows, disk -------------------------------------------------------------------------------------------------------


def test_a_model_of_arrays_takes_numbers_only() -> None:
    with pytest.raises(ValueError, match="could not convert string to float"):
        EnergyDetector().fit([["a", 1.0], ["b", 2.0]])
    with pytest.raises(ValueError, match="infinity"):
        EnergyDetector().fit([[np.inf, 1.0], [0.0, 2.0]])
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        EnergyDetector().fit([[1.0, 2.0]])


def test_missing_numbers_are_learnt_and_scored() -> None:
    rows = ring(200)
    rows[::7, 2] = np.nan
    detector = EnergyDetector(network=False).fit(rows)
    assert detector.predict([[3.0, 0.0, np.nan], [9.0, 9.0, np.nan]]).tolist() == [1, -1]


def test_saved_and_loaded_without_names(fitted: EnergyDetector, tmp_path: Path) -> None:
    again = EnergyDetector.load(fitted.save(tmp_path, "ring"))
    assert again.score_samples(FAR).tolist() == fitted.score_samples(FAR).tolist()
    assert not hasattr(again, "feature_names_in_")
    with pytest.raises(ValueError, match="X has 2 features, but EnergyDetector is expecting 3"):
        again.predict(FAR[:, :2])


def test_a_model_of_images_is_not_loaded(tiny: Detector, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="kind 'image', not of tables"):
        EnergyDetector.load(publish(tiny, tmp_path, "card"))
