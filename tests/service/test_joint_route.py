"""Trained models of classes and of pairs over HTTP: classify, generate by class, predict by impute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from family_models import blobs, joint_model, sine, structured_model
from in_process import Client, running

from ebm import artifact
from service.jobs.options import batch_spec
from service.openapi.examples import examples
from service.settings import Settings

MODELS = "/v1/models"


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("family")
    for model in (joint_model(), structured_model()):
        artifact.publish(model, folder, "# a model")
    with running(Settings(models_dir=folder, log_level="error")) as client:
        yield client


def test_a_trained_joint_model_classifies(family: Client) -> None:
    rows, labels = blobs(20, 6)
    answer = family.post(f"{MODELS}/places/classify", json={"instances": rows.tolist()})
    assert answer.status_code == 200, answer.text
    got, want = answer.json(), joint_model().classify(rows)
    assert got["label"] == want.label == labels.tolist()
    np.testing.assert_allclose(got["probabilities"], want.probabilities, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(got["p_value"], want.p_value)


def test_samples_of_a_class(family: Client) -> None:
    asked = {"n": 5, "seed": 2, "class": "right"}
    answer = family.post(f"{MODELS}/places/generate", json=asked)
    assert answer.status_code == 200, answer.text
    want = joint_model().generate(5, seed=2, label="right").samples
    np.testing.assert_allclose(answer.json()["samples"], want, rtol=1e-5)


def test_a_class_that_is_not_there_is_named(family: Client) -> None:
    answer = family.post(f"{MODELS}/places/generate", json={"n": 1, "class": "below"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "class: there is no 'below'; there are left, right, above"


def test_a_model_without_classes_says_so(client: Client) -> None:
    answer = client.post(f"{MODELS}/blobs/generate", json={"n": 1, "class": 3})
    assert answer.status_code == 422 and answer.json()["type"].endswith("unsupported")
    assert "not by E(x, class)" in answer.json()["detail"]


def test_a_job_is_of_a_class_too() -> None:
    spec = batch_spec("generate", {"n": 3, "class": "left"}, model="m", input=None, output="out")
    assert spec.options.label == "left"  # type: ignore[union-attr]


def test_pairs_are_predicted_by_impute(family: Client) -> None:
    rows = [[x, None, None] for x in (-2.0, 0.5)]
    answer = family.post(f"{MODELS}/circle/impute", json={"instances": rows, "n_draws": 2})
    assert answer.status_code == 200, answer.text
    found = np.array(answer.json()["filled"])
    np.testing.assert_allclose(found[:, 1], np.sin([-2.0, 0.5]), atol=0.1)
    lost = family.post(f"{MODELS}/circle/impute", json={"instances": [[None, *sine(1, 0)[0, 1:]]]})
    assert lost.status_code == 422 and "row 0: a cell is missing from which" in lost.json()["detail"]


@pytest.mark.parametrize("model", ["places", "circle"])
def test_the_examples_of_the_document_run(family: Client, model: str) -> None:
    detector = joint_model() if model == "places" else structured_model()
    for operation, bodies in examples(detector).items():
        if operation in ("jobs", "infer") or "/" in operation:
            continue
        for title, body in bodies.items():
            answer = family.post(f"{MODELS}/{model}/{operation}", json=body)
            assert answer.status_code == 200, (title, answer.text)
