"""Bodies that are damaged, lie or make no sense: each is answered with a 4xx of the protocol's shape, never a 5xx."""

from __future__ import annotations

import gzip

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HEADER = "Inference-Header-Content-Length"
PATH = "/v2/models/{}/infer"
ROW = np.linspace(2, 14, 30)
ALLOWED = {200, 400, 413, 415}


def good(datatype="FP64", dtype="<f8", name="input", shape=(1, 30)):
    content = np.ascontiguousarray(ROW, dtype).tobytes()
    one = {
        "name": name,
        "shape": list(shape),
        "datatype": datatype,
        "parameters": {"binary_data_size": len(content)},
    }
    text = orjson.dumps({"id": "1", "inputs": [one], "outputs": [{"name": "energy"}]})
    return text, content


def check(answer):
    assert answer.status_code in ALLOWED, answer.text
    if answer.status_code != 200:
        found = answer.json()
        assert list(found) == ["error"] and len(found["error"]) < 1000 and "\n" not in found["error"]
    return answer.status_code


def send(client, body, model="blobs", **headers):
    return check(client.post(PATH.format(model), content=body, headers=headers))


def test_the_body_that_the_damage_is_done_to_is_good(client):
    text, content = good()
    assert send(client, text + content, **{HEADER: str(len(text))}) == 200


few = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(st.data())
def test_damaged_bodies(client, data):
    text, content = good()
    body, length = bytearray(text + content), len(text)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(len(body) - 1, 0)))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "header"]))
        if kind == "flip" and body:
            body[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del body[place : place + data.draw(st.integers(1, 20))]
        elif kind == "insert":
            body[place:place] = data.draw(st.binary(max_size=20))
        else:
            length = data.draw(st.integers(0, len(body) + 10))
    send(client, bytes(body), **{HEADER: str(length)})


@few
@given(
    st.sampled_from(["blobs", "people"]),
    st.lists(st.integers(-1, 2**70) | st.integers(0, 5), max_size=5),
    st.sampled_from(["FP32", "INT8", "BOOL", "BYTES", "BF16", "FP64", "FP8"]),
    st.binary(max_size=64),
    st.integers(-1, 100),
)
def test_shapes_and_sizes_that_do_not_belong_together(client, model, shape, datatype, content, size):
    text, _ = good()
    document = orjson.loads(text)
    document["inputs"][0] |= {"datatype": datatype, "parameters": {"binary_data_size": size}}
    text = orjson.dumps(document).replace(b'"shape":[1,30]', b'"shape":' + str(shape).encode())
    assert send(client, text + content, model, **{HEADER: str(len(text))}) == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"inputs":' * 10_000,
        b'{"inputs":[{"name":"input","datatype":"FP32","shape":[1,30],"data":'
        + b"[" * 500
        + b"]" * 500
        + b"}]}",
        b'{"inputs":[{"name":"input","datatype":"BYTES","shape":[1,30],"data":'
        + b"[" * 500
        + b"]" * 500
        + b"}]}",
        b'{"inputs":[{"name":"input","datatype":"FP32","shape":[1,30],"data":[1,NaN,Infinity,-Infinity]}]}',
        b'{"inputs":[{"name":"input","datatype":"FP64","shape":[1,30],"data":[' + b"9" * 5000 + b"]}]}",
        b'{"inputs":[{"name":"input","datatype":"INT64","shape":[' + b"9" * 5000 + b'],"data":[1]}],"x":NaN}',
        b'{"inputs":[{"name":"\\ud800","datatype":"FP32","shape":[1],"data":[1]}],"x":NaN}',
        b'{"id":"\\ud800","inputs":[{"name":"input","datatype":"FP32","shape":[1],"data":[1]}],"x":NaN}',
        b'{"inputs":[{"name":"input","datatype":"FP32","shape":[4611686018427387903,4611686018427387903],"data":[]}]}',
        b'{"inputs":[{"name":"input","datatype":"FP32","shape":[0,4611686018427387903],"data":[]}]}',
        b'{"inputs":[{"name":"input","datatype":"FP32","shape":[100,30],"data":[]}]}',
        b'{"parameters":{"\\ud800":1},"inputs":[],"x":NaN}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"\x80\x03}q\x00.",
    ],
)
def test_json_that_is_wrong(client, body):
    assert send(client, body) == 400
    assert send(client, body, **{HEADER: str(len(body) + 1)}) == 400
    assert send(client, gzip.compress(body), **{"Content-Encoding": "gzip"}) == 400


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999999999999999999", "", "abc", "1,2", "\u00b2"])
def test_header_lengths_that_are_none(client, length):
    text, content = good()
    headers = {HEADER.encode(): length.encode("latin-1")}
    assert check(client.post(PATH.format("blobs"), content=text + content, headers=headers)) == 400


def test_text_that_claims_gigabytes(both):
    one = {"name": "city", "shape": [100], "datatype": "BYTES", "parameters": {"binary_data_size": 400}}
    rest = [
        {"name": name, "shape": [100], "datatype": "FP64", "data": [1.0] * 100}
        for name in ("age", "member", "since")
    ]
    text = orjson.dumps({"inputs": [one, *rest]})
    assert send(both, text + b"\xff" * 400, "mixed", **{HEADER: str(len(text))}) == 400
