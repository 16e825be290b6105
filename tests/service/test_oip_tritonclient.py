"""tritonclient against a real server: every shipped model, JSON and bytes, compression, and what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from live_server import live_server
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from ebm import artifact
from ebm.answers import Scores
from service.oip import InferRequest, write_response
from service.oip.protocol import ALL
from service.openapi.examples import row_of
from service.settings import Settings

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(path.name for path in MODELS.iterdir() if path.is_dir())
OUTPUTS = ["energy", "anomaly_score", "p_value", "is_anomaly"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with live_server(Settings(models_dir=MODELS, log_level="error", watch_s=0)) as url:
        yield url.removeprefix("http://")


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server) as client:
        yield client


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


@pytest.fixture(scope="module")
def scores(detector, rows):
    return detector.score(rows)


def tensor(rows: np.ndarray, binary: bool = True, name: str = "input") -> triton.InferInput:
    one = triton.InferInput(name, list(rows.shape), np_to_triton_dtype(rows.dtype))
    one.set_data_from_numpy(rows, binary_data=binary)
    return one


def check(result: triton.InferResult, scores: Any) -> None:
    for output in OUTPUTS:
        np.testing.assert_array_equal(result.as_numpy(output), getattr(scores, output))
        assert result.as_numpy(output).dtype == getattr(scores, output).dtype


def test_all_three_shipped_models_are_here():
    assert {"breast-cancer", "digits", "digits-cd"} <= set(NAMES)


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_every_model_in_json_and_in_bytes(client, name, rows, scores, binary_in, binary_out):
    outputs = None  # the client then asks for all of them, in bytes
    if binary_out is not None:
        outputs = [triton.InferRequestedOutput(output, binary_data=binary_out) for output in OUTPUTS]
    result = client.infer(name, [tensor(rows, binary_in)], outputs=outputs, request_id="7")
    check(result, scores)
    assert result.get_response()["id"] == "7" and result.get_response()["model_name"] == name
    assert ("data" in result.get_output("energy")) is (binary_out is False)


def test_what_the_metadata_says_is_taken(client, name, rows, scores):
    found = client.get_model_metadata(name)
    (one,) = found["inputs"]
    assert one["shape"][1:] == list(rows.shape[1:]) and found["versions"]
    sent = rows.astype(triton_type(one["datatype"]))
    np.testing.assert_allclose(
        client.infer(name, [tensor(sent)]).as_numpy("energy"), scores.energy, rtol=1e-3
    )
    assert [(o["name"], o["datatype"]) for o in found["outputs"]] == [
        ("energy", "FP32"), ("anomaly_score", "FP64"), ("p_value", "FP64"), ("is_anomaly", "BOOL")
    ]  # fmt: skip


def triton_type(datatype: str) -> type:
    return {"FP32": np.float32, "FP64": np.float64}[datatype]


@pytest.mark.parametrize("sent", ["gzip", "deflate", None])
@pytest.mark.parametrize("back", ["gzip", "deflate", None])
@pytest.mark.parametrize("binary", [True, False])
def test_compression_both_ways(client, sent, back, binary):
    row = np.asarray(row_of(artifact.load(artifact.resolve(MODELS, "digits"))), np.float32)
    rows = np.stack([row] * 200)
    outputs = [triton.InferRequestedOutput(output, binary_data=binary) for output in OUTPUTS]
    result = client.infer(
        "digits",
        [tensor(rows, binary)],
        outputs=outputs,
        request_compression_algorithm=sent,
        response_compression_algorithm=back,
    )
    assert result.as_numpy("energy").shape == (200,) and result.as_numpy("p_value").dtype == np.float64


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.float16, np.float32])
def test_other_numbers(client, name, detector, rows, dtype):
    sent = rows.round().astype(dtype)
    check(client.infer(name, [tensor(sent)]), detector.score(sent.astype(np.float64)))


def test_a_table_one_tensor_a_column(client):
    detector = artifact.load(artifact.resolve(MODELS, "breast-cancer"))
    assert detector.columns is not None
    rows = np.asarray([row_of(detector)] * 2)
    inputs = [tensor(rows[:, [j]].copy(), name=column) for j, column in enumerate(detector.columns)]
    check(client.infer("breast-cancer", inputs), detector.score(rows))


def test_rates_and_versions(client, name, rows, detector):
    lax = client.infer(name, [tensor(rows)], parameters={"fpr": 0.9}, model_version=detector.version)
    np.testing.assert_array_equal(lax.as_numpy("is_anomaly"), detector.score(rows, fpr=0.9).is_anomaly)
    assert lax.get_response()["model_version"] == detector.version
    # Reserved words, which the client sends for servers that queue sequences, change nothing.
    same = client.infer(name, [tensor(rows)], sequence_id=3, sequence_start=True, priority=1, timeout=10**6)
    np.testing.assert_array_equal(same.as_numpy("p_value"), lax.as_numpy("p_value"))


def test_requests_that_are_not_waited_for(server, name, rows, scores):
    with triton.InferenceServerClient(server, concurrency=4) as client:
        calls = [client.async_infer(name, [tensor(rows)]) for _ in range(8)]
        for call in calls:
            check(call.get_result(timeout=60), scores)


def test_numbers_that_json_cannot_hold_are_nan_to_the_client():
    energy = np.array([1, np.inf], np.float32)
    scores = Scores(
        energy, energy.astype(float), np.ones(2), np.zeros(2, bool), np.ones(2, int), 0.05, None, None
    )
    for binary, seen in ((False, [1, np.nan]), (True, [1, np.inf])):
        body, length = write_response(InferRequest(None, [], ALL[binary]), scores, "m", "1")
        result = triton.InferResult.from_response_body(body, header_length=length)
        np.testing.assert_array_equal(result.as_numpy("energy"), np.array(seen, np.float32))


def test_health_and_metadata(client, name):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(name)
    assert not client.is_model_ready("nobody") and not client.is_model_ready(name, "99")
    found = client.get_server_metadata()
    assert found["extensions"] == ["binary_tensor_data", "model_repository"]


def test_the_repository(client, name, rows, scores):
    index = client.get_model_repository_index()
    assert {(one["name"], one["state"]) for one in index} >= {(name, "READY")}
    client.unload_model(name)
    assert not client.is_model_ready(name)
    with pytest.raises(InferenceServerException, match="unloaded") as caught:
        client.infer(name, [tensor(rows)])
    assert caught.value.status() == "503"
    client.load_model(name)
    check(client.infer(name, [tensor(rows)]), scores)
    with pytest.raises(InferenceServerException, match="no model 'nobody'"):
        client.load_model("nobody")
    with pytest.raises(InferenceServerException, match="as they were published"):
        client.load_model(name, config="{}")


def test_what_is_wrong_is_said_in_the_protocols_words(client, name, rows):
    width = int(np.prod(rows.shape[1:]))
    wrong = [
        ([tensor(np.ones((1, width + 1)))], {}, r"has shape \[1, [0-9]+\]; the model takes \[n, "),
        ([tensor(rows, name="rows")], {}, "no input 'rows'; the model takes 'input'"),
        ([tensor(rows)], {"outputs": [triton.InferRequestedOutput("score")]}, "no output 'score'"),
        (
            [tensor(rows)],
            {"outputs": [triton.InferRequestedOutput("energy", class_count=2)]},
            "classification",
        ),
        ([tensor(rows)], {"parameters": {"fpr": 2.0}}, "fpr must lie between 0 and 1"),
        ([tensor(np.full_like(rows, np.nan))], {}, "is missing"),
        ([tensor(np.full_like(rows, np.nan), binary=False)], {}, "is missing"),
        ([tensor(np.full(rows.shape, "a", dtype=object))], {}, "is not a number"),
    ]
    for inputs, options, words in wrong:
        with pytest.raises(InferenceServerException, match=words) as caught:
            client.infer(name, inputs, **options)
        assert caught.value.status() == "400"
    with pytest.raises(InferenceServerException, match="no version '99'") as caught:
        client.infer(name, [tensor(rows)], model_version="99")
    assert caught.value.status() == "404"


def test_the_document_runs(server, monkeypatch, capsys):
    monkeypatch.chdir(MODELS.parent)
    text = (MODELS.parent / "docs" / "open-inference-protocol.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n([^`]*tritonclient.*?)^```", text, re.MULTILINE | re.DOTALL)
    session: dict[str, Any] = {}
    exec(compile(block.replace("127.0.0.1:8000", server), "the document", "exec"), session)
    session["client"].close()
    assert session["result"].as_numpy("p_value").shape == (4,) and "False" in capsys.readouterr().out
