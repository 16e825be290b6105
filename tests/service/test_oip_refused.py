"""POST /v2/models/{name}/infer: what is wrong is said, and costs little."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from tensors import HEADER, RECORDS, infer, mixed_inputs, refused, tensor


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
