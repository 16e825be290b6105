"""POST /v2/models/{name}/infer: the same numbers as /v1, whatever the tensors come and go in."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import numpy as np
import orjson
import pytest
from ml_dtypes import bfloat16

from service.oip.binary import DTYPES

OUTPUTS = {"energy": "FP32", "anomaly_score": "FP64", "p_value": "FP64", "is_anomaly": "BOOL"}
HEADER = "Inference-Header-Content-Length"


def tensor(values: Any, datatype: str = "FP64", name: str = "input") -> dict[str, Any]:
    values = np.asarray(values)
    return {"name": name, "shape": list(values.shape), "datatype": datatype, "data": values.tolist()}


def infer(client, model, *inputs, headers=None, version=None, **more):
    path = model if version is None else f"{model}/versions/{version}"
    body = orjson.dumps({"inputs": list(inputs), **more})
    return client.post(f"/v2/models/{path}/infer", content=body, headers=headers)


def infer_bytes(client, model, arrays, **more):
    """`arrays`: (name, datatype, shape, bytes)."""
    inputs = [
        {
            "name": name,
            "datatype": kind,
            "shape": list(shape),
            "parameters": {"binary_data_size": len(content)},
        }
        for name, kind, shape, content in arrays
    ]
    text = orjson.dumps({"inputs": inputs, **more})
    content = b"".join([text, *(part for *_, part in arrays)])
    return client.post(
        f"/v2/models/{model}/infer", content=content, headers={HEADER: str(len(text)), "Content-Type": "x/y"}
    )


def data(answer, name):
    assert answer.status_code == 200, answer.text
    return next(output for output in answer.json()["outputs"] if output["name"] == name)["data"]


@pytest.fixture
def rows(image):
    return np.stack([image, image * 0.5, np.full_like(image, 16)])


@pytest.fixture
def scored(client, rows):
    return client.post("/v1/models/blobs/score", json={"instances": rows.tolist()}).json()


def test_all_outputs_equal_those_of_v1(client, rows, scored):
    answer = infer(client, "blobs", tensor(rows), id="abc")
    found = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert (found["model_name"], found["model_version"], found["id"]) == ("blobs", "2", "abc")
    assert found["parameters"] == {"higher_is_more_anomalous": True, "fpr": 0.05}
    assert [(o["name"], o["datatype"], o["shape"]) for o in found["outputs"]] == [
        (name, datatype, [3]) for name, datatype in OUTPUTS.items()
    ]
    for name in OUTPUTS:
        assert data(answer, name) == scored[name]


def test_no_id_where_none_was_sent(client, rows):
    assert "id" not in infer(client, "blobs", tensor(rows)).json()


@pytest.mark.parametrize("shape", [(3, 6, 5), (3, 6, 5, 1), (3, 30)])
@pytest.mark.parametrize("flat", [True, False])
def test_images_in_every_shape(client, rows, scored, shape, flat):
    sent = tensor(rows.reshape(shape))
    if flat:
        sent["data"] = rows.ravel().tolist()
    assert data(infer(client, "blobs", sent), "energy") == scored["energy"]


@pytest.mark.parametrize("datatype", sorted(DTYPES))
def test_every_datatype_in_json_and_in_bytes(client, image, datatype):
    dtype = bfloat16 if datatype == "BF16" else DTYPES[datatype]
    values = np.stack([image, image / 2]).round() > 5 if datatype == "BOOL" else np.stack([image, image / 2])
    values = values.round().astype(dtype)  # exact in all of them
    wanted = client.post("/v1/models/blobs/score", json={"instances": values.astype(float).tolist()}).json()
    sent = values.astype(float) if datatype in ("BF16", "FP16") else values
    assert data(infer(client, "blobs", tensor(sent, datatype)), "energy") == wanted["energy"]
    answer = infer_bytes(client, "blobs", [("input", datatype, values.shape, values.tobytes())])
    assert data(answer, "energy") == wanted["energy"]


def test_outputs_in_bytes_follow_the_json_in_its_order(client, rows, scored):
    answer = infer(client, "blobs", tensor(rows), parameters={"binary_data_output": True})
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[HEADER])
    found, rest = orjson.loads(answer.content[:length]), answer.content[length:]
    for output in found["outputs"]:
        size = output["parameters"]["binary_data_size"]
        part, rest = rest[:size], rest[size:]
        values = np.frombuffer(part, DTYPES[output["datatype"]])
        assert values.tolist() == np.array(scored[output["name"]], values.dtype).tolist()
    assert rest == b""


def test_the_outputs_that_are_asked_for_in_their_order_each_as_it_wants(client, rows, scored):
    wanted = [{"name": "is_anomaly"}, {"name": "p_value", "parameters": {"binary_data": True}}]
    answer = infer(client, "blobs", tensor(rows), outputs=wanted)
    length = int(answer.headers[HEADER])
    found = orjson.loads(answer.content[:length])["outputs"]
    assert [output["name"] for output in found] == ["is_anomaly", "p_value"]
    assert found[0]["data"] == scored["is_anomaly"] and "data" not in found[1]
    assert np.frombuffer(answer.content[length:]).tolist() == scored["p_value"]


def test_a_body_of_bytes_alone(client, rows, scored):
    content = rows.astype("<f4").tobytes()
    answer = client.post("/v2/models/blobs/infer", content=content, headers={HEADER: "0"})
    assert data(answer, "energy") == pytest.approx(scored["energy"], rel=1e-5)
    refused = client.post("/v2/models/blobs/infer", content=content[:-1], headers={HEADER: "0"})
    assert refused.status_code == 400
    assert refused.json() == {"error": "359 bytes are no number of rows; a row of FP32 takes 120"}


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_requests(client, rows, scored, encoding, pack):
    body = pack(orjson.dumps({"inputs": [tensor(rows)]}))
    answer = client.post("/v2/models/blobs/infer", content=body, headers={"Content-Encoding": encoding})
    assert data(answer, "energy") == scored["energy"]


def test_the_header_counts_the_json_before_compression(client, rows, scored):
    content = rows.astype("<f8").tobytes()
    one = {
        "name": "input",
        "shape": [3, 6, 5],
        "datatype": "FP64",
        "parameters": {"binary_data_size": len(content)},
    }
    text = orjson.dumps({"inputs": [one]})
    headers = {"Content-Encoding": "gzip", HEADER: str(len(text))}
    answer = client.post("/v2/models/blobs/infer", content=gzip.compress(text + content), headers=headers)
    assert data(answer, "energy") == scored["energy"]


def test_rates_of_the_request(client, rows):
    strict = infer(client, "blobs", tensor(rows), parameters={"fpr": 0.001})
    assert "0.001" in strict.json()["parameters"]["note"]  # finer than so few calibration rows resolve
    lax = infer(client, "blobs", tensor(rows), parameters={"fpr": 0.999})
    assert not any(data(strict, "is_anomaly")) and all(data(lax, "is_anomaly"))
    fdr = infer(client, "blobs", tensor(rows), parameters={"fdr": 0.2}).json()["parameters"]
    assert fdr["fdr"] == 0.2 and "fpr" not in fdr


def test_versions(client, rows, scored):
    first = infer(client, "blobs", tensor(rows), version="1")
    assert first.json()["model_version"] == "1" and data(first, "energy") != scored["energy"]
    assert data(infer(client, "blobs", tensor(rows), version="2"), "energy") == scored["energy"]


def test_a_table_as_one_tensor_or_one_a_column(client, person):
    row = list(person.values())
    wanted = client.post("/v1/models/people/score", json={"instances": [row, row]}).json()["energy"]
    assert data(infer(client, "people", tensor([row, row])), "energy") == wanted
    columns = [tensor([cell] * 2, name=name) for name, cell in reversed(person.items())]
    columns[0] = tensor([[columns[0]["data"][0]]] * 2, name=columns[0]["name"])  # [n, 1]
    assert data(infer(client, "people", *columns), "energy") == wanted


RECORDS = [
    {"age": 41.5, "city": "Bonn", "member": True, "since": "2024-01-20T12:00:00"},
    {"age": None, "city": None, "member": False, "since": "2024-01-02T00:00:00"},
]


def mixed_inputs(records):
    kinds = {"age": "FP64", "city": "BYTES", "member": "BOOL", "since": "BYTES"}
    return [
        {
            "name": name,
            "shape": [len(records)],
            "datatype": kind,
            "data": [record[name] for record in records],
        }
        for name, kind in kinds.items()
    ]


def test_columns_of_many_types_with_nulls(both):
    wanted = both.post("/v1/models/mixed/score", json={"records": RECORDS}).json()
    assert data(infer(both, "mixed", *mixed_inputs(RECORDS)), "energy") == wanted["energy"]


def test_columns_of_many_types_in_bytes(both):
    text = [record.encode() for record in ("Bonn", "2024-01-20T12:00:00")]
    city, since = (len(part).to_bytes(4, "little") + part for part in text)
    arrays = [
        ("city", "BYTES", [1, 1], city),
        ("age", "FP32", [1], np.float32(41.5).tobytes()),
        ("since", "BYTES", [1], since),
        ("member", "BOOL", [1], b"\x01"),
    ]
    wanted = both.post("/v1/models/mixed/score", json={"records": RECORDS[:1]}).json()
    assert data(infer_bytes(both, "mixed", arrays), "energy") == wanted["energy"]


def test_nan_is_null_where_the_model_takes_nulls(both):
    record = {**RECORDS[0], "age": None}
    wanted = both.post("/v1/models/mixed/score", json={"records": [record]}).json()
    body = json.dumps({"inputs": mixed_inputs([{**record, "age": float("nan")}])})
    assert "NaN" in body
    assert data(both.post("/v2/models/mixed/infer", content=body), "energy") == wanted["energy"]


def refused(answer, status=400):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert list(found) == ["error"] and "\n" not in found["error"]
    return found["error"]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([tensor([[1.0] * 29])], "input 'input' has shape [1, 29]; the model takes [n, 6, 5]"),
        ([tensor(np.ones((6, 5)))], "has shape [6, 5]; the model takes [n, 6, 5]"),
        ([tensor(np.ones((0, 30)))], "no rows"),
        ([{**tensor(np.ones((1, 30))), "shape": [2**61, 30]}], "over the limit of 100 (EBM_MAX_ROWS)"),
        ([{**tensor(np.ones((1, 30))), "shape": [2, 30]}], "'data' has shape [1, 30], 'shape' says [2, 30]"),
        ([tensor(np.ones((101, 30)))], "rows: 101 is over the limit of 100 (EBM_MAX_ROWS)"),
        ([tensor(np.ones((1, 30)), name="x")], "no input 'x'; the model takes 'input'"),
        ([tensor(np.ones((1, 30))), tensor(np.ones((1, 30)))], "no input 'input'; the model takes 'input'"),
        ([{**tensor(np.ones((1, 30))), "data": [None] * 30}], "is missing"),
        ([{**tensor(np.ones((1, 30))), "data": [1e300] * 30, "datatype": "FP32"}], "is infinite"),
        ([{**tensor(np.ones((1, 30))), "data": ["a"] * 30, "datatype": "BYTES"}], "is not a number"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_an_image_model(client, sent, words):
    assert words in refused(infer(client, "blobs", *sent))


AGE, INCOME, HEIGHT = (tensor([1.0], name=name) for name in ("age", "income", "height"))


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([AGE, INCOME], "input 'height' is missing"),
        ([AGE], "input 'income' is missing (and 1 more)"),
        ([AGE, INCOME, HEIGHT, AGE], "input 'age' is there twice"),
        ([AGE, INCOME, tensor([1.0, 2.0], name="height")], "input 'height' has shape [2], not [1] or [1, 1]"),
        ([AGE, INCOME, tensor([[1.0, 2.0]], name="height")], "has shape [1, 2], not [1] or [1, 1]"),
        ([AGE, INCOME, {**HEIGHT, "datatype": "BYTES", "data": ["1"]}], "the column holds numbers, not BYTES"),
        ([AGE, INCOME, tensor([1.0], name="weight")], "no input 'weight'; the model takes 'input', or one tensor a"),
        ([tensor([[1.0, 2.0]])], "input 'input' has shape [1, 2]; the model takes [n, 3]"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_a_table(client, sent, words):
    assert words in refused(infer(client, "people", *sent))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"age": {"datatype": "BYTES", "data": ["old"]}}, "column 'age'"),
        ({"since": {"data": ["yesterday"]}}, "column 'since'"),
        ({"member": {"data": [None]}}, "column 'member'"),
        ({"city": {"data": ["\ud800"]}}, "input 'city': not all of it is text"),
        ({"city": {"shape": [2**61], "data": ["a"]}}, "input 'city' has shape"),
    ],
)  # fmt: skip
def test_cells_that_do_not_fit_a_mixed_table(both, change, words):
    inputs = mixed_inputs(RECORDS[:1])
    for one in inputs:
        one.update(change.get(one["name"], {}))
    body = json.dumps(
        {"inputs": inputs, "x": float("nan")}
    )  # NaN: so that half a surrogate pair gets through
    assert words in refused(both.post("/v2/models/mixed/infer", content=body))


def test_a_mixed_table_is_not_one_tensor_of_numbers(both):
    assert "column 'since'" in refused(infer(both, "mixed", tensor([[1.0, 2.0, 1.0, 3.0]])))
    answer = both.post("/v2/models/mixed/infer", content=b"\0" * 64, headers={HEADER: "0"})
    assert "a model with one input" in refused(answer)


def test_bodies_over_the_limits(client):
    assert "over the limit of 200000 bytes" in refused(
        client.post("/v2/models/blobs/infer", content=b" " * 200_001), 413
    )


def test_a_bomb_is_refused_while_it_is_small(serve):
    client = serve(max_decompressed_bytes=1_000_000)
    bomb = gzip.compress(b" " * 100_000_000)
    answer = client.post("/v2/models/blobs/infer", content=bomb, headers={"Content-Encoding": "gzip"})
    assert "decompressed body is over the limit of 1000000 bytes" in refused(answer, 413)


@pytest.mark.parametrize(
    ("encoding", "status"), [("br", 415), ("gzip", 400), ("deflate", 400)]
)  # fmt: skip
def test_encodings_that_are_unknown_or_lie(client, encoding, status):
    answer = client.post("/v2/models/blobs/infer", content=b"{}", headers={"Content-Encoding": encoding})
    assert encoding in refused(answer, status)


def test_numbers_that_json_cannot_hold_are_null_and_named():
    """Far beyond the data float32 energies overflow: infinitely anomalous, and not to be mistaken for anything else."""
    from ebm.answers import Scores
    from service.oip import InferRequest, Wanted, write_response

    energy = np.array([1, np.inf, -np.inf, np.nan], np.float32)
    scores = Scores(
        energy, energy.astype(float), np.full(4, 0.5), np.zeros(4, bool), np.arange(4), 0.05, None, None
    )
    text, length = write_response(
        InferRequest(None, [], [Wanted(n, False) for n in OUTPUTS]), scores, "m", "1"
    )
    outputs = {output["name"]: output for output in orjson.loads(text)["outputs"]}
    assert length is None
    for name in ("energy", "anomaly_score"):
        assert outputs[name]["data"] == [1, None, None, None]
        assert outputs[name]["parameters"] == {"non_finite": "1:Infinity,2:-Infinity,3:NaN"}
    assert "parameters" not in outputs["p_value"]
    both, length = write_response(InferRequest(None, [], [Wanted("energy", True)]), scores, "m", "1")
    np.testing.assert_array_equal(np.frombuffer(both[length:], "<f4"), energy)
