"""Requests against the documents of the protocol's specification, and against everything that is none."""

from __future__ import annotations

import copy

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebm.errors import BadInput
from service.oip import Wanted, read_request
from service.oip.protocol import OUTPUTS

GOOD = {
    "id": "42",
    "parameters": {"fpr": 0.1, "sequence_id": 7, "triton_x": 1, "content_type": "pd"},
    "inputs": [
        {"name": "input", "shape": [2, 2], "datatype": "UINT32", "data": [1, 2, 3, 4]},
        {"name": "more", "shape": [3], "datatype": "BOOL", "data": [True, False, True]},
    ],
    "outputs": [{"name": "energy"}, {"name": "is_anomaly", "parameters": {"binary_data": True}}],
}


def read(document, header=None):
    return read_request(orjson.dumps(document), header)


def test_a_request_in_json():
    found = read(GOOD)
    assert (found.id, found.fpr, found.fdr, found.raw) == ("42", 0.1, None, None)
    assert found.inputs[0].values().tolist() == [[1, 2], [3, 4]]
    assert found.inputs[1].values().tolist() == [True, False, True]
    assert found.outputs == [Wanted("energy", False), Wanted("is_anomaly", True)]


def test_a_request_in_bytes():
    """The example of the extension's specification: a tensor in bytes, one in JSON, one in bytes."""
    text = (
        b'{"inputs":[{"name":"a","shape":[2,2],"datatype":"UINT32","parameters":{"binary_data_size":16}},'
        b'{"name":"b","shape":[3],"datatype":"BOOL","data":[true,false,false]},'
        b'{"name":"c","shape":[2,1],"datatype":"FP32","parameters":{"binary_data_size":8}}]}'
    )
    tail = np.array([1, 2, 3, 4], "<u4").tobytes() + np.array([0.5, -1], "<f4").tobytes()
    found = read_request(text + tail, str(len(text)))
    assert [tensor.values().tolist() for tensor in found.inputs] == [
        [[1, 2], [3, 4]],
        [True, False, False],
        [[0.5], [-1.0]],
    ]
    assert found.outputs == [Wanted(name, False) for name in OUTPUTS]


def test_all_outputs_as_bytes_but_for_the_one_that_says_otherwise():
    document = {**GOOD, "parameters": {"binary_data_output": True}, "outputs": []}
    assert read(document).outputs == [Wanted(name, True) for name in OUTPUTS]
    document["outputs"] = [{"name": "energy", "parameters": {"binary_data": False}}, {"name": "p_value"}]
    assert read(document).outputs == [Wanted("energy", False), Wanted("p_value", True)]


def test_what_is_null_is_not_given():
    inputs = [{**GOOD["inputs"][0], "parameters": None}]
    found = read({"id": None, "parameters": None, "inputs": inputs, "outputs": None, "model_name": "x"})
    assert found.id is None and len(found.outputs) == 4


def changed(path, value):
    document = copy.deepcopy(GOOD)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


FIRST = ("inputs", 0)
SIZE = {"binary_data_size": 4}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "must be a JSON object"),
        (None, "must be a JSON object"),
        ({}, "'inputs' must be a list of tensors"),
        (changed(["inputs"], []), "'inputs' must be a list of tensors"),
        (changed(["inputs"], {}), "'inputs' must be a list of tensors"),
        (changed(["inputs"], [{}] * 10_001), "more than 10000"),
        (changed(["inputs", 0], 5), "each input must be an object with a 'name'"),
        (changed([*FIRST, "name"], 5), "each input must be an object with a 'name'"),
        (changed([*FIRST, "datatype"], "FP8"), "input 'input': 'datatype' must be one of BOOL, "),
        (changed([*FIRST, "datatype"], []), "'datatype' must be one of"),
        (changed([*FIRST, "shape"], [-1, 2]), "'shape' must hold whole numbers from 0"),
        (changed([*FIRST, "data"], None), "'data' must be a list"),
        (changed([*FIRST, "data"], 5), "'data' must be a list"),
        (changed([*FIRST, "parameters"], 5), "'parameters' of it must be an object"),
        (changed([*FIRST, "parameters"], SIZE), "'data' or 'binary_data_size', not both"),
        (changed([*FIRST, "parameters"], {"shared_memory_region": "x"}), "shared memory is not supported"),
        (changed(["outputs"], 5), "'outputs' must be a list"),
        (changed(["outputs", 0], "energy"), "each output must be an object"),
        (changed(["outputs", 0, "name"], "score"), "no output 'score'; there are energy, "),
        (changed(["outputs", 0, "name"], "is_anomaly"), "asked for twice"),
        (changed(["outputs", 0, "parameters"], {"classification": 2}), "classification is not supported"),
        (changed(["outputs", 0, "parameters"], {"binary_data": 1}), "'binary_data' of output 'energy' must be true"),
        (changed(["parameters"], []), "'parameters' of the request must be an object"),
        (changed(["parameters"], {"fprr": 0.1}), "no parameter 'fprr'"),
        (changed(["parameters"], {"fpr": 1}), "fpr must lie between 0 and 1"),
        (changed(["parameters"], {"fdr": True}), "fdr must lie between 0 and 1"),
        (changed(["parameters"], {"fdr": "0.1"}), "fdr must lie between 0 and 1"),
        (changed(["parameters"], {"fpr": 0.1, "fdr": 0.1}), "fpr or fdr, not both"),
        (changed(["parameters"], {"binary_data_output": "yes"}), "'binary_data_output' of the request must be true"),
        (changed(["id"], 42), "'id' must be text"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(document, words):
    with pytest.raises(BadInput, match=words):
        read(document)


@pytest.mark.parametrize("size", [-1, 1.5, True, "4", 5, 2**62])
def test_a_size_that_lies_is_refused(size):
    document = {
        "inputs": [{"name": "a", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": size}}]
    }
    text = orjson.dumps(document)
    with pytest.raises(BadInput, match="input 'a': 'binary_data_size'"):
        read_request(text + b"\0" * 4, str(len(text)))


def test_bytes_that_belong_to_no_tensor_are_refused():
    text = orjson.dumps(GOOD)
    with pytest.raises(BadInput, match="1 bytes more than its tensors"):
        read_request(text + b"\0", str(len(text)))
    with pytest.raises(BadInput, match="not JSON"):
        read_request(text + b"\0", None)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"inputs":' * 2000, b"[" * 100_000, b'{"id":"\\ud800","x":NaN}']
)
def test_what_is_no_json_is_refused(body):
    with pytest.raises(BadInput):
        read_request(body, None)


def test_a_body_of_bytes_alone():
    found = read_request(b"\x01\x02", "0")
    assert bytes(found.raw) == b"\x01\x02" and found.inputs == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLACES = [
    ["id"], ["parameters"], ["inputs"], ["outputs"], ["parameters", "fpr"], ["parameters", "binary_data_output"],
    [*FIRST], [*FIRST, "name"], [*FIRST, "shape"], [*FIRST, "datatype"], [*FIRST, "data"], [*FIRST, "parameters"],
    ["inputs", 1, "data"], ["inputs", 1, "shape"], ["outputs", 0], ["outputs", 0, "parameters"],
]  # fmt: skip


@given(st.sampled_from(PLACES), JSON_VALUES, st.none() | st.integers(-5, 400).map(str))
def test_a_request_with_anything_anywhere_is_read_or_refused(path, value, header):
    import json

    body = json.dumps(changed(path, value)).encode()
    try:
        for tensor in read_request(body, header).inputs:
            assert tensor.values().shape == tensor.shape
    except BadInput as error:
        assert "\n" not in str(error) and len(str(error)) < 500
