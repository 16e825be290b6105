"""Every error under /v2 is {"error": "..."}, and metadata is as the protocol has it."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
import pytest

OPEN = ["/v2/health/live", "/v2/health/ready"]
INFER = "/v2/models/blobs/infer"
OCTETS = {"Content-Type": "application/octet-stream"}


def refused(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"] and answer.json()["error"]
    assert answer.headers["x-request-id"]
    return answer.json()["error"]


def test_the_server_and_its_extensions(client):
    found = client.get("/v2").json()
    assert found["name"] == "ebm-service" and found["version"]
    assert found["extensions"] == ["binary_tensor_data", "model_repository"]


def test_health(client):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/blobs/ready", "/v2/models/blobs/versions/1/ready"):
        assert client.get(path).json() == {"name": "blobs", "ready": True}


def test_metadata_of_an_image_model(client):
    found = client.get("/v2/models/blobs").json()
    assert (found["name"], found["versions"], found["platform"]) == ("blobs", ["1", "2"], "ebm_safetensors")
    assert found["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 6, 5]}]
    assert [(o["name"], o["datatype"], o["shape"]) for o in found["outputs"]] == [
        ("energy", "FP32", [-1]),
        ("anomaly_score", "FP64", [-1]),
        ("p_value", "FP64", [-1]),
        ("is_anomaly", "BOOL", [-1]),
    ]
    assert client.get("/v2/models/blobs/versions/1").json() == found


def test_metadata_of_tables(client, both):
    assert client.get("/v2/models/people").json()["inputs"] == [
        {"name": "input", "datatype": "FP64", "shape": [-1, 3]}
    ]
    inputs = both.get("/v2/models/mixed").json()["inputs"]
    assert [(one["name"], one["datatype"], one["shape"]) for one in inputs] == [
        ("age", "FP64", [-1]),
        ("city", "BYTES", [-1]),
        ("member", "BOOL", [-1]),
        ("since", "BYTES", [-1]),
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/nobody", 404),
        ("GET", "/v2/models/nobody/ready", 404),
        ("GET", "/v2/models/blobs/versions/9", 404),
        ("POST", "/v2/models/nobody/infer", 404),
        ("GET", "/v2/models/%ff%00/ready", 404),
        ("GET", INFER, 405),
        ("POST", "/v2/models/blobs", 405),
        ("DELETE", "/v2/health/live", 405),
        ("GET", "/v2/repository/index", 405),
        ("GET", "/v2/models/broken/ready", 503),
        ("GET", "/v2/models/broken", 503),
        ("POST", "/v2/models/broken/infer", 503),
    ],
)
def test_what_is_not_there_or_not_allowed(client, method, path, status):
    answer = client.request(method, path)
    refused(answer, status)
    if status == 405:
        assert answer.headers["allow"]


def test_keys_and_scopes(serve):
    def key(name, scope):
        return {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "scopes": [scope]}

    client = serve(api_keys=[key("reader", "score"), key("maker", "generate"), key("boss", "admin")])
    for path in OPEN:
        assert client.get(path).status_code == 200
    for path in ("/v2", "/v2/models/blobs", "/v2/models/blobs/ready"):
        assert refused(client.get(path), 401)
        assert client.get(path, headers={"X-API-Key": "reader"}).status_code == 200
    assert client.post(INFER).headers["www-authenticate"]
    refused(client.post(INFER, headers={"X-API-Key": "maker"}), 403)
    index = "/v2/repository/index"
    refused(client.post(index), 401)
    assert client.post(index, headers={"X-API-Key": "reader"}).status_code == 200
    for action in ("load", "unload"):
        path = f"/v2/repository/models/blobs/{action}"
        refused(client.post(path), 401)
        refused(client.post(path, headers={"X-API-Key": "reader"}), 403)
        assert client.post(path, headers={"X-API-Key": "boss"}).status_code == 200


def test_a_full_queue_says_when_to_come_back(serve, image):
    client = serve(queue_size=1)
    body = {
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 30], "data": image.ravel().tolist()}]
    }
    engine, loaded = client.app.services.engine, client.app.services.registry.loaded["blobs", "2"]
    held, go = threading.Event(), threading.Event()

    class Slow:
        def energies(self, values):
            held.set()
            go.wait(30)
            return np.zeros(len(values), np.float32)

        def measure(self, energy):
            return energy.astype(float), energy.astype(float)

        def judge(self, energy, **_):
            return energy

    async def hold():
        return engine.submit_score(Slow(), np.zeros((1, 30)), timeout_s=30, model=loaded)

    try:
        task = client.portal.call(hold)
        assert held.wait(30)
        answer = client.post(INFER, json=body)
        refused(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        go.set()
    assert task is not None


def test_deadlines(client, image):
    body = {
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 30], "data": image.ravel().tolist()}]
    }
    refused(client.post(INFER, json=body, headers={"X-Timeout-Seconds": "soon"}), 400)


def test_a_failure_of_the_server_tells_nothing(client, image, monkeypatch):
    async def fail(*_, **__):
        raise RuntimeError("secret")

    monkeypatch.setattr("service.routes.oip.score_rows", fail)
    body = {
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 30], "data": image.ravel().tolist()}]
    }
    assert "secret" not in refused(client.post(INFER, json=body), 500)
