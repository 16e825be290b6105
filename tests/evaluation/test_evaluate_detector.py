"""The figures of a detector are those of its own scores, and the baselines see the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ebm.detector import Detector
from ebm.evaluation.baselines import baselines
from ebm.evaluation.corruptions import CORRUPTIONS, corrupt_all
from ebm.evaluation.detector import evaluate, evaluate_corruptions


def test_a_detector_beside_its_baselines(tiny: Detector, digits: np.ndarray) -> None:
    train, test = digits[:100], digits[250:300]
    noise = np.random.default_rng(0).uniform(0, 16, (20, 8, 8))
    found = evaluate(tiny, test, noise, train, seed=0)
    assert set(found) == {"model", "knn1", "knn5", "isolation_forest"}
    assert found["model"]["auroc"] == 1.0 and found["model"]["detected_at_default_fpr"] == 1.0
    assert found["model"]["actual_fpr"] == tiny.score(test).is_anomaly.mean()
    kinds = evaluate_corruptions(tiny, test, train, seed=0)
    each = [kinds["model"][f"auroc_{kind}"] for kind in CORRUPTIONS]
    assert kinds["model"]["auroc"] == pytest.approx(np.mean(each))
    assert kinds["model"]["auroc_uniform_noise"] > kinds["model"]["auroc_patch_other"]


def test_figures_follow_from_the_scores(tiny: Detector, digits: np.ndarray) -> None:
    train, test, other = digits[:100], digits[250:300], digits[300:340, ::-1] * 0.8
    found = evaluate(tiny, test, other, train, seed=3)
    normal, anomalous = tiny.score(test), tiny.score(other)
    y = np.r_[np.zeros(50), np.ones(40)]
    scores = np.r_[normal.anomaly_score, anomalous.anomaly_score]
    assert found["model"]["auroc"] == pytest.approx(roc_auc_score(y, scores))
    assert 0.5 < found["model"]["auroc"] < 1
    assert found["model"]["detected_at_default_fpr"] == anomalous.is_anomaly.mean()
    swapped = evaluate(tiny, other, test, train, seed=3)
    assert swapped["model"]["auroc"] == pytest.approx(1 - found["model"]["auroc"])
    transform = tiny.preprocessor.transform
    rows = np.concatenate([transform(test), transform(other)])
    for name, s in baselines(transform(train), rows, 3).items():
        assert found[name]["auroc"] == pytest.approx(roc_auc_score(y, s))


def test_damage_is_done_to_the_pictures_as_the_model_sees_them(tiny: Detector, digits: np.ndarray) -> None:
    train, test = digits[:100], digits[250:300]
    found = evaluate_corruptions(tiny, test, train, seed=5)
    damaged = corrupt_all(tiny.preprocessor.transform(test), 5)["flip"]
    rows = np.concatenate([test, tiny.preprocessor.inverse(damaged)])
    y = np.r_[np.zeros(50), np.ones(50)]
    assert found["model"]["auroc_flip"] == pytest.approx(roc_auc_score(y, tiny.score(rows).anomaly_score))
    again = evaluate_corruptions(tiny, test, train, seed=5)
    assert again == found
