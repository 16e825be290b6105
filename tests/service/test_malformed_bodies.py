"""Whatever a client sends, the answer is a problem document that says what is wrong, and never a 5xx."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

JSON, NPY, PNG = "application/json", "application/x-npy", "image/png"
GOOD = [41.0, 3100.0, 1.75]


def dumps(value: Any) -> bytes:
    return orjson.dumps(value)


def npy_header(text: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode()


def claim(shape: str, descr: str = "'<f8'", data: bytes = b"") -> bytes:
    return npy_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n") + data


def saved(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def png(size: tuple[int, int] = (5, 6), mode: str = "L") -> bytes:
    stream = io.BytesIO()
    rng = np.random.default_rng(0)
    noise = Image.frombytes("RGB", size, rng.bytes(3 * size[0] * size[1]))
    noise.convert(mode).save(stream, "PNG")
    return stream.getvalue()


TABLE = [
    (dumps({"instances": [GOOD, GOOD[:2]]}), "row 1", {"row": 1}),
    (dumps({"instances": [GOOD[:2]]}), "2 values, the model takes 3 columns", {"row": 0}),
    (dumps({"instances": [[*GOOD, 1]]}), "4 values", {"row": 0}),
    (dumps({"instances": [GOOD, [41, "x", 1.75]]}), "'x' is not a number", {"row": 1, "column": "income"}),
    (dumps({"instances": [["41", "3100", "1.75"]]}), "'41' is not a number", {"row": 0, "column": "age"}),
    (dumps({"instances": [GOOD, [41, None, 1]]}), "is missing", {"row": 1, "column": "income"}),
    (b'{"instances": [[41, 3100, NaN]]}', "is missing (NaN)", {"row": 0, "column": "height"}),
    (b'{"instances": [[41, -Infinity, 1]]}', "is infinite", {"row": 0, "column": "income"}),
    (dumps({"instances": [[41, 1e300, 1]]}), "income", {"row": 0, "column": "income"}),
    (b'{"instances": [[1' + b"0" * 400 + b", 2, 3]]}", "", {}),
    (dumps({"instances": []}), "empty", {}),
    (dumps({"instances": [[]]}), "row 0", {}),
    (dumps({"instances": GOOD}), "wrap a single row", {}),
    (dumps({"instances": {"a": 1}}), "list of rows", {}),
    (dumps({"instances": [{"age": 1}]}), "not a number", {}),
    (dumps({"instances": [[GOOD]]}), "shape", {}),
    (dumps({"instances": "abc"}), "list of rows", {}),
    (dumps({"instances": None}), "list of rows", {}),
    (dumps({}), "exactly one of", {}),
    (dumps({"instances": [GOOD], "records": []}), "exactly one of", {}),
    (dumps([GOOD]), "JSON object", {}),
    (b"3", "JSON object", {}),
    (b"", "not JSON", {}),
    (b"{", "not JSON", {}),
    (b'{"instances": [[NaN', "not JSON", {}),
    (b"\xff\xfe", "not JSON", {}),
    (b"[" * 100_000, "not JSON", {}),
    (b'{"instances": ' + b"[" * 70 + b"]" * 70 + b"}", "", {}),
    (b'{"x": NaN, "instances": ' + b"[" * 50_000 + b"}", "not JSON", {}),
    (dumps({"records": []}), "at least one", {}),
    (dumps({"records": [3]}), "must be an object", {"row": 0}),
    (dumps({"records": [{"age": 1, "income": 2}]}), "'height' is missing", {"row": 0, "column": "height"}),
    (
        dumps({"records": [{"age": 1, "income": 2, "height": 3, "name": 4}]}),
        "no column 'name'",
        {"row": 0, "column": "name"},
    ),
    (dumps({"records": [{"age": [1], "income": 2, "height": 3}]}), "'age' is not", {"column": "age"}),
    (dumps({"records": [{"age": "1", "income": 2, "height": 3}]}), "'1' is not", {"column": "age"}),
    (dumps({"instances": [GOOD], "fpr": 0}), "fpr", {}),
    (dumps({"instances": [GOOD], "fpr": 1.5}), "fpr", {}),
    (dumps({"instances": [GOOD], "fpr": "0.1"}), "fpr", {}),
    (dumps({"instances": [GOOD], "fpr": 0.1, "fdr": 0.1}), "not both", {}),
    (dumps({"instances": [GOOD], "frp": 0.1}), "frp", {}),
    (dumps({"instances": [GOOD] * 101}), "rows: 101 is over the limit of 100", {"limit": 100}),
]


@pytest.mark.parametrize("body, words, members", TABLE, ids=range(len(TABLE)))
def test_json(client: Any, body: bytes, words: str, members: dict[str, Any]) -> None:
    answer = client.post("/v1/models/people/score", content=body, headers={"content-type": JSON})
    check(answer, 422, words)
    assert {key: answer.json().get(key) for key in members} == members


BINARY = [
    (NPY, b"", "not a readable npy file"),
    (NPY, b"PK\x03\x04", "not a readable npy file"),
    (NPY, b"\x93NUMPY\x09\x00abc", "not a readable npy file"),
    (NPY, b"\x93NUMPY\x01\x00\xff", "not a readable npy file"),
    (NPY, npy_header("{" * 200), "not a readable npy file"),
    (NPY, npy_header("(" * 9000), "not a readable npy file"),
    (NPY, npy_header("{'descr': '<f8'}"), "not a readable npy file"),
    (NPY, claim("(1250000000, 30)"), "claims 300000000000 bytes of data, the file holds 0"),
    (NPY, claim(f"({10**30}, 30)"), "claims"),
    (NPY, claim("(-1, 30)"), "impossible shape"),
    (NPY, claim("(0, 30)"), "no rows"),
    (NPY, claim("(1, 30)", data=b"\0" * 239), "claims 240 bytes of data, the file holds 239"),
    (NPY, claim("(1, 30)", data=b"\0" * 241), "holds 241"),
    (NPY, claim("()", data=b"\0" * 8), "single value"),
    (NPY, claim("(6,)", data=b"\0" * 48), "row 0 has shape ()"),
    (NPY, claim("(2, 15)", data=b"\0" * 240), "the model takes"),
    (NPY, claim("(1,)", "'|O'", b"\0" * 8), "dtype"),
    (NPY, claim("(1, 30)", "'<c8'", b"\0" * 240), "dtype"),
    (NPY, claim("(1, 30)", "'<U2'", b"\0" * 240), "dtype"),
    (NPY, claim("(1, 30)", "[('a', '<f8')]", b"\0" * 240), "dtype"),
    (NPY, saved(np.array([object()]), allow_pickle=True), "dtype"),
    (NPY, saved(np.full((1, 30), np.nan)), "NaN"),
    (NPY, saved(np.full((1, 6, 5), np.inf)), "infinite"),
    (NPY, saved(np.zeros((101, 30), np.uint8)), "over the limit"),
    (PNG, b"", "neither PNG nor JPEG"),
    (PNG, b"GIF89a" + b"\0" * 50, "neither PNG nor JPEG"),
    (PNG, png()[:-20], "damaged"),
    (PNG, png()[:40], "damaged"),
    (PNG, png()[:20], "not a readable image"),
    (PNG, png((200, 51)), "51 x 200 pixels, more than the limit of 10000"),
    (PNG, png((7, 6)), "7 x 6, the model takes 5 x 6"),
]


@pytest.mark.parametrize("media_type, body, words", BINARY, ids=range(len(BINARY)))
@pytest.mark.parametrize("call", ["score", "denoise"])
def test_binary(client: Any, media_type: str, body: bytes, words: str, call: str) -> None:
    url = f"/v1/models/blobs/{call}"
    check(client.post(url, content=body, headers={"content-type": media_type}), 422, words)


@pytest.mark.parametrize(
    "call, body, words",
    [
        ("denoise", {"sigma": 0}, "sigma"),
        ("denoise", {"sigma": -1}, "sigma"),
        ("denoise", {"n_steps": 0}, "n_steps"),
        ("denoise", {"n_steps": 1.5}, "n_steps"),
        ("denoise", {"n_steps": 10**40}, "n_steps"),
        ("denoise", {"seeds": 1}, "seeds"),
        ("generate", {"n": 0}, "n:"),
        ("generate", {"n": True}, "n:"),
        ("generate", {"n": 10**9}, "over the limit of 16"),
        ("generate", {"seed": -1}, "seed"),
        ("generate", {"seed": 2**63}, "seed"),
        ("generate", {"step_size": 0}, "step_size"),
        ("generate", {"step_size": None, "n_steps": "7"}, "n_steps"),
        ("generate", {"keep_every": -1}, "keep_every"),
        ("generate", {"instances": []}, "instances"),
    ],
)
def test_options(client: Any, image: np.ndarray, call: str, body: dict[str, Any], words: str) -> None:
    rows = {"instances": [image.tolist()]} if call == "denoise" else {}
    # The standard library writes what orjson cannot, e.g. an integer of forty digits.
    content = json.dumps({**rows, **body})
    check(client.post(f"/v1/models/blobs/{call}", content=content), 422, words)


@pytest.mark.parametrize(
    "method, url, options, status, words",
    [
        ("GET", "/nowhere", {}, 404, "Not Found"),
        ("GET", "/v1/models/none", {}, 404, "no model 'none'"),
        ("POST", "/v1/models/none/score", {"json": {}}, 404, "served: blobs, people"),
        ("GET", "/v1/models/blobs/versions/9", {}, 404, "it has 1, 2"),
        ("GET", "/v1/models/%ed%a0%80/versions/%00", {}, 404, "no model"),
        ("POST", "/v1/models/broken/score", {"json": {}}, 503, "weights.safetensors"),
        ("GET", "/v1/models/blobs/score", {}, 405, "Method Not Allowed"),
        ("DELETE", "/v1/models", {}, 405, "Method Not Allowed"),
        (
            "POST",
            "/v1/models/people/score",
            {"content": b"a,b", "headers": {"content-type": "text/html"}},
            415,
            "text/csv",
        ),
        (
            "POST",
            "/v1/models/people/score",
            {"content": png(), "headers": {"content-type": PNG}},
            415,
            "not pictures",
        ),
        (
            "POST",
            "/v1/models/people/score",
            {"json": {}, "headers": {"content-encoding": "br"}},
            415,
            "Encoding",
        ),
        (
            "POST",
            "/v1/models/blobs/generate",
            {"content": b"x", "headers": {"content-type": NPY}},
            415,
            "npy",
        ),
        ("POST", "/v1/models/people/score", {"content": b" " * 200_001}, 413, "200000 bytes"),
        (
            "POST",
            "/v1/models/people/score",
            {"json": {"instances": [GOOD]}, "headers": {"accept": "text/html"}},
            406,
            "comes as",
        ),
        (
            "POST",
            "/v1/models/people/score?fpr=0.1",
            {"json": {"instances": [GOOD], "fpr": 0.2}},
            422,
            "both in the body and in the query",
        ),
        ("POST", "/v1/models/people/score?fpr=x", {"json": {"instances": [GOOD]}}, 422, "fpr"),
        ("POST", "/v1/models/people/score?colour=x", {"json": {"instances": [GOOD]}}, 422, "colour"),
    ],
)
def test_requests(
    client: Any, method: str, url: str, options: dict[str, Any], status: int, words: str
) -> None:
    check(client.request(method, url, **options), status, words)


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(client: Any) -> None:
    sent = []

    async def endless() -> Any:
        while True:
            sent.append(10_000)
            yield b" " * 10_000

    answer = client.post("/v1/models/people/score", content=endless())
    check(answer, 413, "200000 bytes")
    assert sum(sent) <= 220_000


scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@settings(max_examples=150)
@given(
    rows=json_values,
    key=st.sampled_from(["instances", "records"]),
    model=st.sampled_from(["blobs", "people"]),
)
def test_any_json_is_answered_below_500(client: Any, rows: Any, key: str, model: str) -> None:
    answer = client.post(f"/v1/models/{model}/score", content=json.dumps({key: rows}))
    assert answer.status_code in (200, 422)


@settings(max_examples=150)
@given(data=st.data(), media_type=st.sampled_from([NPY, PNG]))
def test_any_damage_to_a_good_file_is_answered_below_500(client: Any, data: Any, media_type: str) -> None:
    good = saved(np.zeros((1, 6, 5))) if media_type == NPY else png()
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    body = bytes(damaged[: data.draw(st.integers(0, len(good)))])
    answer = client.post("/v1/models/blobs/score", content=body, headers={"content-type": media_type})
    assert answer.status_code in (200, 422)


def check(answer: Any, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert words in document["detail"] and "\n" not in document["detail"]
    assert document["status"] == status and document["type"].startswith("urn:ebm-service:problem:")
    assert document["request_id"] == answer.headers["x-request-id"]
