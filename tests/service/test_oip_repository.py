"""The model repository extension: index, load, unload."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

BODY = {
    "inputs": [
        {"name": "input", "datatype": "FP64", "shape": [1, 30], "data": np.linspace(2, 14, 30).tolist()}
    ]
}
INDEX, LOAD, UNLOAD = (
    "/v2/repository/index",
    "/v2/repository/models/{}/load",
    "/v2/repository/models/{}/unload",
)


def entries(client, **body):
    found = client.post(INDEX, **body)
    assert found.status_code == 200, found.text
    return {(one["name"], one["version"]): (one["state"], one["reason"]) for one in found.json()}


def test_the_index_holds_every_version_and_why_it_does_not_answer(client):
    found = entries(client)
    assert found["blobs", "1"] == found["blobs", "2"] == found["people", "1"] == ("READY", "")
    state, reason = found["broken", "1"]
    assert state == "UNAVAILABLE" and "weights.safetensors" in reason
    assert ("broken", "1") not in entries(client, json={"ready": True})
    assert entries(client, json={"ready": False}) == entries(client, json={}) == found


def test_an_unloaded_model_answers_503_until_it_is_loaded(serve):
    client = serve()
    infer = "/v2/models/blobs/infer"
    assert client.post(infer, json=BODY).status_code == 200
    sent = {"parameters": {"unload_dependents": False}}  # as tritonclient sends it
    assert client.post(UNLOAD.format("blobs"), json=sent).json() == {"name": "blobs", "unload": True}
    answer = client.post(infer, json=BODY)
    assert answer.status_code == 503 and "unloaded" in answer.json()["error"]
    assert client.get("/v2/models/blobs/ready").status_code == 503
    assert entries(client)["blobs", "2"] == ("UNAVAILABLE", "unloaded")
    assert (
        client.post("/v1/models/people/score", json={"instances": [[41.0, 3100.0, 1.75]]}).status_code == 200
    )
    assert client.post(LOAD.format("blobs"), json={}).json() == {"name": "blobs", "load": True}
    assert client.post(infer, json=BODY).status_code == 200


def test_loading_finds_what_was_published_meanwhile(serve, models_dir, tmp_path):
    shutil.copytree(models_dir / "people", tmp_path / "people")
    client = serve(models_dir=tmp_path, watch_s=0)
    assert client.post("/v2/models/blobs/infer", json=BODY).status_code == 404
    shutil.copytree(models_dir / "blobs", tmp_path / "blobs")
    assert client.post(LOAD.format("blobs")).status_code == 200
    assert client.post("/v2/models/blobs/infer", json=BODY).status_code == 200


@pytest.mark.parametrize("path", [LOAD, UNLOAD])
def test_models_that_are_not_there(client, path):
    answer = client.post(path.format("nobody"))
    assert answer.status_code == 404 and "no model 'nobody'" in answer.json()["error"]


def test_a_refused_model_does_not_load(serve):
    answer = serve().post(LOAD.format("broken"))
    assert answer.status_code == 503 and "weights.safetensors" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (INDEX, b'{"ready": 1}', "'ready' must be true or false"),
        (INDEX, b"[]", "must be a JSON object"),
        (INDEX, b"{", "not JSON"),
        (LOAD.format("blobs"), b'{"parameters": 5}', "'parameters' must be an object"),
        (LOAD.format("blobs"), b'{"parameters": {"config": "{}"}}', "parameter 'config': models are loaded as they"),
        (LOAD.format("blobs"), b'{"parameters": {"file:1/model.bin": "AAAA"}}', "models are loaded as they were"),
        (UNLOAD.format("blobs"), b"null", "must be a JSON object"),
    ],
)  # fmt: skip
def test_bodies_that_are_wrong(client, path, body, words):
    answer = client.post(path, content=body)
    assert answer.status_code == 400 and words in answer.json()["error"]
    assert client.get("/v2/models/blobs/ready").status_code == 200
