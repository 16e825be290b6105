"""kserve's REST client against a real server: every shipped model, JSON and bytes, and what is wrong.

The package itself imports a model server and Kubernetes, which the client does not need: the Makefile installs it
without its dependencies, and here only the client's own modules are imported.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from live_server import live_server

from ebm import artifact
from ebm.answers import Scores
from service import oip
from service.oip import write_response
from service.oip.protocol import ALL
from service.openapi.examples import row_of
from service.settings import Settings

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(path.name for path in MODELS.iterdir() if path.is_dir())
OUTPUTS = ["energy", "anomaly_score", "p_value", "is_anomaly"]

spec = importlib.util.find_spec("kserve")
if spec is None:
    pytest.skip("kserve is not installed: make install", allow_module_level=True)
package = types.ModuleType("kserve")
package.__path__ = list(spec.submodule_search_locations or ())
sys.modules["kserve"] = package

from kserve.inference_client import InferenceRESTClient, RESTConfig  # noqa: E402
from kserve.protocol.infer_type import InferInput, InferRequest, InferResponse, RequestedOutput  # noqa: E402


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with live_server(Settings(models_dir=MODELS, log_level="error", watch_s=0)) as url:
        yield url


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def detector(name: str) -> Any:
    return artifact.load(artifact.resolve(MODELS, name))


@pytest.fixture(scope="module")
def rows(detector) -> np.ndarray:
    row = np.asarray(row_of(detector), np.float64)
    return np.stack([row, row * 0.5, row * 3]).round(3)


def call(method: str, *args: Any, **options: Any) -> Any:
    async def run() -> Any:
        async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0, timeout=60)) as client:
            return await getattr(client, method)(*args, **options)

    return asyncio.run(run())


def tensor(rows: np.ndarray, binary: bool, name: str = "input", datatype: str = "FP64") -> InferInput:
    one = InferInput(name, list(rows.shape), datatype)
    one.set_data_from_numpy(rows, binary_data=binary)
    return one


def infer(url: str, name: str, inputs: list[InferInput], **options: Any) -> Any:
    request = InferRequest(name, inputs, request_id="8", **options)
    return call("infer", url, request, model_name=name)


def values(response: Any, output: str) -> np.ndarray:
    return next(one for one in response.outputs if one.name == output).as_numpy()


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_every_model_in_json_and_in_bytes(url, name, detector, rows, binary_in, binary_out):
    options = {"parameters": {"binary_data_output": True}} if binary_out is None else {
        "request_outputs": [RequestedOutput(output, {"binary_data": binary_out}) for output in OUTPUTS]
    }  # fmt: skip
    response = infer(url, name, [tensor(rows, binary_in)], **options)
    assert response.id == "8" and response.model_name == name
    scores = detector.score(rows)
    for output in OUTPUTS:
        np.testing.assert_array_equal(values(response, output), getattr(scores, output))


def test_a_document_of_ones_own(url, name, detector, rows):
    one = {"name": "input", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
    response = call("infer", url, {"inputs": [one], "parameters": {"fpr": 0.9}}, model_name=name)
    np.testing.assert_array_equal(values(response, "is_anomaly"), detector.score(rows, fpr=0.9).is_anomaly)
    assert response.parameters == {"higher_is_more_anomalous": True, "fpr": 0.9}


def test_long_answers_which_the_client_has_compressed(url, detector, name, rows):
    many = np.concatenate([rows] * 100)
    for binary in (True, False):
        options = {"parameters": {"binary_data_output": binary}}
        response = infer(url, name, [tensor(many, binary)], **options)
        np.testing.assert_array_equal(values(response, "energy"), detector.energies(many))


def test_a_table_one_tensor_a_column(url):
    detector = artifact.load(artifact.resolve(MODELS, "breast-cancer"))
    assert detector.columns is not None
    rows = np.asarray([row_of(detector)] * 2)
    inputs = [tensor(rows[:, j].copy(), j % 2 == 0, column) for j, column in enumerate(detector.columns)]
    response = infer(url, "breast-cancer", inputs)
    np.testing.assert_array_equal(values(response, "energy"), detector.energies(rows))


def test_numbers_that_json_cannot_hold_are_nan_to_the_client():
    energy = np.array([1, np.inf], np.float32)
    scores = Scores(
        energy, energy.astype(float), np.ones(2), np.zeros(2, bool), np.ones(2, int), 0.05, None, None
    )
    for binary, seen in ((False, [1, np.nan]), (True, [1, np.inf])):
        body, length = write_response(oip.InferRequest(None, [], ALL[binary]), scores, "m", "1")
        response = InferResponse.from_bytes(body, length or len(body))
        np.testing.assert_array_equal(values(response, "energy"), np.array(seen, np.float32))


def test_health(url, name):
    assert call("is_server_live", url) is True
    assert call("is_server_ready", url) is True
    assert call("is_model_ready", url, name) is True
    assert call("is_model_ready", url, "nobody") is False


def test_what_is_wrong_is_said_in_the_protocols_words(url, name, rows):
    wrong = [
        (name, [tensor(np.ones((1, 3)), True)], {}, "has shape .*'400 Bad Request'"),
        (name, [tensor(rows, True, "rows")], {}, "no input 'rows'.*'400 Bad Request'"),
        (name, [tensor(rows, False)], {"request_outputs": [RequestedOutput("score")]}, "no output 'score'"),
        (name, [tensor(rows, False)], {"parameters": {"fprr": 0.1}}, "no parameter 'fprr'"),
        ("nobody", [tensor(rows, True)], {}, "no model 'nobody'.*'404 Not Found'"),
    ]
    for model, inputs, options, words in wrong:
        with pytest.raises(httpx.HTTPStatusError, match=words):
            infer(url, model, inputs, **options)


def test_the_document_runs(url, monkeypatch, capsys):
    for one in (
        InferenceRESTClient,
        InferInput,
        InferRequest,
        RESTConfig,
    ):  # which the package itself would offer
        monkeypatch.setattr(package, one.__name__, one, raising=False)
    monkeypatch.chdir(MODELS.parent)
    text = (MODELS.parent / "docs" / "open-inference-protocol.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n([^`]*kserve.*?)^```", text, re.MULTILINE | re.DOTALL)
    exec(compile(block.replace("http://127.0.0.1:8000", url), "the document", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == OUTPUTS
