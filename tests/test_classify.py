"""Class probabilities against the posterior of a known mixture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from analytic_detectors import JointMixture, analytic_detector, standardize
from scipy import stats

from ebm.classify import probabilities
from ebm.detector import Detector
from ebm.errors import BadInput, Unsupported

MEANS, WEIGHTS, S = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), np.array([0.2, 0.5, 0.3]), 0.6
MEAN, SD = [5.0, 100.0], [2.0, 30.0]


@pytest.fixture(scope="module")
def detector() -> Detector:
    rng = np.random.default_rng(0)
    energy = JointMixture(torch.tensor(MEANS).float(), torch.tensor(WEIGHTS).float(), S)
    rows = MEAN + SD * (MEANS[rng.choice(3, 300, p=WEIGHTS)] + S * rng.normal(size=(300, 2)))
    return analytic_detector(energy, standardize(MEAN, SD), rows)


def test_probabilities_are_the_posterior(detector: Detector) -> None:
    z = np.random.default_rng(1).normal(size=(50, 2)) * 2
    joint = WEIGHTS * stats.norm.pdf(z[:, None], MEANS, S).prod(2)
    rows = MEAN + SD * z
    found = detector.classify(rows)
    np.testing.assert_allclose(found.probabilities, joint / joint.sum(1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(found.energy, -np.log(joint.sum(1)), rtol=1e-4, atol=1e-5)
    assert found.classes == ["left", "right", "above"]
    assert found.label == [found.classes[k] for k in joint.argmax(1)]
    assert len(set(found.label)) == 3
    scores = detector.score(rows)
    np.testing.assert_array_equal(found.energy, scores.energy)
    np.testing.assert_array_equal(found.p_value, scores.p_value)


def test_the_energy_is_the_log_sum_over_classes(detector: Detector) -> None:
    found = detector.classify([[5.0, 100.0], [9.0, 30.0]])
    np.testing.assert_allclose(found.energy, -np.log(np.exp(-found.class_energy).sum(1)), rtol=1e-5)


def test_many_rows_pause_and_keep_their_order(detector: Detector) -> None:
    rows = MEAN + SD * np.random.default_rng(2).normal(size=(2500, 2))
    steps = detector.classify_steps(rows)
    progress = []
    while True:
        try:
            progress.append(next(steps).step)
        except StopIteration as stop:
            found = stop.value
            break
    assert progress == [1024, 2048, 2500]
    np.testing.assert_allclose(
        found.probabilities[[3, 2400]], detector.classify(rows[[3, 2400]]).probabilities
    )


def test_energies_far_away_give_no_nan() -> None:
    p = probabilities(np.array([[1e30, 1.0], [np.inf, np.inf], [np.inf, 3.0], [-800.0, 800.0]], np.float32))
    np.testing.assert_array_equal(p, [[0, 1], [0.5, 0.5], [0, 1], [1, 0]])


def test_bad_rows_are_named(detector: Detector) -> None:
    with pytest.raises(BadInput, match="row 1"):
        detector.classify([[1.0, 2.0], [1.0, float("nan")]])


def test_a_model_without_classes_says_what_it_can(detector: Detector, tiny: Detector) -> None:
    assert "classify" in detector.can and "classify" not in tiny.can
    with pytest.raises(Unsupported, match="cannot classify; it can: .*score"):
        tiny.classify(np.zeros((1, 8, 8)))
