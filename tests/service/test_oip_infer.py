"""POST /v2/models/{name}/infer: the same numbers as /v1, whatever the tensors come and go in."""

from __future__ import annotations

import gzip
import json
import zlib

import numpy as np
import orjson
import pytest
from ml_dtypes import bfloat16
from tensors import HEADER, OUTPUTS, RECORDS, data, infer, infer_bytes, mixed_inputs, tensor

from service.oip.binary import DTYPES


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
