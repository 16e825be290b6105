"""Labels all the way: from the data to the classes of a model, its answers, and its samples of one class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from family_models import CENTRES, NAMES, blobs, joint_config, joint_model

from ebm import artifact
from ebm.batch.generate import GenerateWork
from ebm.batch.spec import GenerateOptions
from ebm.card import model_card
from ebm.config import validate
from ebm.detector import Detector
from ebm.errors import BadConfig, BadInput, Unsupported
from ebm.fitting import fit_detector
from ebm.runs import train
from ebm.training.config import ModelConfig, TrainConfig


def test_it_learns_the_classes_and_what_is_of_none() -> None:
    rows, labels = blobs(200, 7)
    found = joint_model().classify(rows)
    assert (np.array(found.label) == labels).mean() > 0.97
    far = joint_model().classify([[0.0, -4.0], [9.0, 9.0], [0.0, 1.0]])  # the last one between all of them
    assert (found.p_value > 0.05).mean() > 0.85 and far.p_value.max() < 0.05
    np.testing.assert_allclose(
        found.energy, -np.log(np.exp(-found.class_energy).sum(1)), rtol=1e-4, atol=1e-4
    )


def test_it_is_stored_and_read_with_its_classes(tmp_path: Path) -> None:
    rows, _ = blobs(20, 8)
    model = joint_model()
    loaded = artifact.load(artifact.publish(model, tmp_path, model_card(model.manifest)))
    assert loaded.classes == model.classes == ["left", "right", "above"]
    np.testing.assert_array_equal(loaded.classify(rows).class_energy, model.classify(rows).class_energy)


def test_samples_of_a_class_are_of_that_class() -> None:
    for name, centre in zip(NAMES, CENTRES, strict=True):
        samples = joint_model().generate(40, label=str(name), seed=1).samples
        nearest = np.linalg.norm(samples[:, None] - CENTRES, axis=2).argmin(1)
        assert (NAMES[nearest] == name).mean() > 0.9
        assert np.linalg.norm(samples.mean(0) - centre) < 0.6
    everything = joint_model().generate(60, seed=1).samples
    nearest = np.linalg.norm(everything[:, None] - CENTRES, axis=2).argmin(1)
    assert len(set(nearest.tolist())) == 3


def test_batches_are_of_a_class_too() -> None:
    options = validate(GenerateOptions, {"n": 5, "class": "above"}, "options")
    assert options == validate(GenerateOptions, {"n": 5, "label": "above"}, "options")
    work = GenerateWork(joint_model(), options)
    assert work.summary([], 5)["label"] == "above"


def test_a_class_that_is_not_there_is_named(tiny: Detector) -> None:
    with pytest.raises(BadInput, match="class: there is no 'below'; there are left, right, above"):
        joint_model().generate(1, label="below")
    with pytest.raises(Unsupported, match=r"class: this model generates by the energy E\(x\)"):
        tiny.generate(1, label=3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "learns from labels; the data have none"),
        (["left"] * 3, "3 labels for 60 training rows"),
        (["left", "right", "beside"] * 20, "label 'beside' is none of its classes: left, right, above"),
        (["left", "right"] * 30, "no training row is of class 'above'"),
    ],
)
def test_labels_that_cannot_be_learnt_from(labels: Any, message: str) -> None:
    rows, _ = blobs(80, 0)
    with pytest.raises(BadInput, match=message):
        fit_detector(joint_config(), rows[:60], rows[60:], labels=labels)


def changed(**objective: Any) -> ModelConfig:
    config = joint_config().model_dump(mode="json")
    config["terms"][0]["objective"] |= objective
    return ModelConfig.model_validate(config)


def test_a_few_labels_are_enough_where_the_density_sees_the_others() -> None:
    rows, labels = blobs(300, 3)
    first = [i for name in NAMES for i in np.flatnonzero(labels == name)[:3]]
    known = np.where(np.isin(np.arange(300), first), labels, "?")
    model = fit_detector(changed(unlabelled="?"), rows[:200], rows[200:], labels=known[:200])
    test, truth = blobs(200, 7)
    assert (np.array(model.classify(test).label) == truth).mean() > 0.9


def test_without_cross_entropy_it_needs_no_labels() -> None:
    config = changed(cross_entropy_weight=0).model_dump(mode="json")
    config["terms"][0]["training"]["n_steps"] = 2
    rows, _ = blobs(80, 0)
    assert fit_detector(ModelConfig.model_validate(config), rows[:60], rows[60:]).classes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"calibration": "leave_one_out"}, "needs calibration 'split', not 'leave_one_out'"),
        ({"contamination": 0.1}, "remove 'contamination'"),
    ],
)
def test_rows_chosen_without_their_labels_are_refused(change: dict[str, Any], message: str) -> None:
    config = joint_config().model_dump(mode="json") | change
    with pytest.raises(BadConfig, match=message):
        validate(ModelConfig, config, "model")


def test_a_run_takes_the_labels_of_its_training_rows() -> None:
    """Of a table whose rows are shuffled into parts and filtered by label: were a label of another row, p(y | x) would
    be noise."""
    loop = {"n_steps": 150, "batch_size": 64, "learning_rate": 5e-3, "ema": 0.9}
    energy = {"kind": "joint", "classes": [0, 1, 7], "width": 24, "depth": 1}
    objective = {"kind": "joint", "density_weight": 0}
    config = TrainConfig.model_validate(
        {
            "name": "three",
            "data": {"kind": "builtin", "name": "digits", "normal": [0, 1, 7]},
            "preprocessing": {"kind": "image", "low": 0, "high": 16},
            "terms": [{"name": "joint", "energy": energy, "objective": objective, "training": loop}],
        }
    )
    from ebm.data import load_builtin

    table = load_builtin("digits")
    assert table.labels is not None
    kept = np.isin(table.labels, [0, 1, 7])
    found = train(config).classify(table.values[kept])
    assert (np.array(found.label) == table.labels[kept].astype(str)).mean() > 0.95
