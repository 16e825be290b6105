"""POST classify: a joint model answers end to end, another says what it can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from analytic_detectors import JointMixture, analytic_detector, standardize

from ebm.detector import Detector
from service.registry import Loaded

URL = "/v1/models/kinds/classify"


@pytest.fixture(scope="module")
def joint() -> Detector:
    rng = np.random.default_rng(0)
    means, weights = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), torch.tensor([0.2, 0.5, 0.3])
    rows = [5, 100] + [2, 30] * (means.numpy()[rng.choice(3, 200)] + 0.6 * rng.normal(size=(200, 2)))
    preprocessor = standardize([5, 100], [2, 30], ["width", "weight"])
    return analytic_detector(JointMixture(means, weights, 0.6), preprocessor, rows, name="kinds")


@pytest.fixture
def served(serve: Any, joint: Detector) -> Any:
    client = serve()
    for version in (None, "1"):
        client.app.services.registry._ready["kinds", version] = Loaded("kinds", "1", True, joint)
    return client


def test_the_answer_is_the_librarys(served: Any, joint: Detector) -> None:
    rows = [[3.0, 100.0], [7.0, 90.0], [5.0, 160.0], [500.0, 0.0]]
    answer = served.post(URL, json={"instances": rows})
    assert answer.status_code == 200, answer.text
    got, want = answer.json(), joint.classify(rows)
    assert got["label"] == ["left", "right", "above", "right"] and got["classes"] == want.classes
    np.testing.assert_allclose(got["probabilities"], want.probabilities, rtol=1e-6)
    np.testing.assert_allclose(got["energy"], want.energy, rtol=1e-6)
    np.testing.assert_allclose(got["p_value"], want.p_value)
    assert got["p_value"][3] < 0.01, "no row of any class, though it has the likeliest one"
    by_name = served.post(URL, json={"records": [{"weight": 100.0, "width": 3.0}]}).json()
    assert by_name["label"] == ["left"]
    by_csv = served.post(URL, content=b"width,weight\n7,90\n", headers={"content-type": "text/csv"}).json()
    assert by_csv["label"] == ["right"]


def test_bad_rows_and_options_are_named(served: Any) -> None:
    short = served.post(URL, json={"instances": [[1.0]]})
    assert short.status_code == 422 and "row 0" in short.json()["detail"]
    assert served.post(URL, json={"instances": [[1.0, 2.0]], "k": 1}).status_code == 422


def test_a_model_without_classes_says_what_it_can(client: Any, image: np.ndarray) -> None:
    for path in ("/v1/models/blobs/classify", "/v1/models/blobs/versions/1/classify"):
        answer = client.post(path, json={"instances": [image.tolist()]})
        assert answer.status_code == 422 and answer.json()["type"].endswith("unsupported")
        assert "cannot classify; it can denoise" in answer.json()["detail"]
