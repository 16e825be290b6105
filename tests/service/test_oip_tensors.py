"""Input tensors in JSON: flat or nested, each datatype's range, nulls, and everything that is none."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ebm.errors import BadInput
from service.oip.binary import DTYPES
from service.oip.tensors import Tensor, check_shape


def values(datatype, shape, data):
    return Tensor("x", datatype, shape, data, None).values()


@given(st.sampled_from(sorted(set(DTYPES) - {"BF16"})), st.booleans(), st.data())
def test_flat_and_nested_data_are_the_same_tensor(datatype, flat, data):
    shapes = hnp.array_shapes(min_dims=1, max_dims=4, max_side=4)
    numbers = {"elements": {"allow_nan": False, "allow_infinity": False}} if "FP" in datatype else {}
    array = data.draw(hnp.arrays(DTYPES[datatype], shapes, **numbers))
    sent = (array.ravel() if flat else array).tolist()
    np.testing.assert_array_equal(values(datatype, array.shape, sent).astype(array.dtype), array)


@given(hnp.arrays(np.float32, 20, elements={"allow_nan": True, "allow_infinity": True}))
def test_bf16_in_json_is_rounded_as_its_library_rounds(array):
    with np.errstate(over="ignore"):
        wanted = array.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(values("BF16", (20,), array.tolist()), wanted)


def test_numbers_are_rounded_to_the_datatype_as_their_bytes_would_be():
    assert values("FP32", (1,), [0.1])[0] == np.float32(0.1)
    assert values("FP16", (1,), [0.1])[0] == np.float16(0.1)
    assert values("FP64", (1,), [0.1])[0] == 0.1
    assert values("FP64", (2,), [1, 2**53]).tolist() == [1.0, 2.0**53]


def test_null_is_nan_in_floats_and_stays_null_in_text_and_booleans():
    np.testing.assert_array_equal(values("FP32", (2, 1), [1, None]), [[1], [np.nan]])
    assert values("BYTES", (2,), ["a", None]).tolist() == ["a", None]
    assert values("BOOL", (2,), [True, None]).tolist() == [True, None]


@pytest.mark.parametrize("data", [["a", "b", "c", "d"], [["a", "b"], ["c", "d"]]])
def test_text_may_be_nested_or_flat(data):
    assert values("BYTES", (2, 2), data).tolist() == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "words"),
    [
        ("FP32", (2, 2), [1, 2, 3], r"'data' has shape \[3\], 'shape' says \[2, 2\]"),
        ("FP32", (2, 2), [[1, 2, 3, 4]], r"shape \[1, 4\]"),
        ("FP32", (4,), [[1, 2], [3, 4]], "shape"),
        ("FP32", (2, 2), [[1, 2], [3]], "ragged"),
        ("FP32", (2,), [[1], 2], "ragged"),
        ("FP32", (2,), ["1", "2"], "must be numbers"),
        ("FP32", (2,), ["1", None], "must be numbers"),
        ("FP32", (2,), [True, False], "must be numbers"),
        ("FP32", (2,), [{}, 1], "must be numbers"),
        ("FP64", (1,), [10**400], "must be numbers"),
        ("INT32", (1,), [1.0], "must be whole numbers"),
        ("INT32", (1,), [None], "must be whole numbers"),
        ("INT32", (1,), [2**31], "must lie from -2147483648 to 2147483647"),
        ("INT64", (1,), [2**63], "must lie from"),
        ("INT64", (2,), [2**64 - 1, -1], "must be whole numbers"),
        ("UINT8", (1,), [-1], "must lie from 0 to 255"),
        ("BOOL", (1,), [1], "must be true or false"),
        ("BOOL", (2,), ["true", None], "must be true or false"),
        ("BYTES", (1,), [1], "element 0 of BYTES is neither text nor null"),
        ("BYTES", (2,), ["a"], "'data' has 1 elements"),
        ("BYTES", (2, 2), [["a"], ["b", "c", "d"]], "not nested"),
        ("BYTES", (2, 1), [["a"], "b"], "not nested"),
        ("BYTES", (1, 1), [[["a"]]], "element 0 of BYTES is neither text nor null"),
    ],
)
def test_data_that_are_no_such_tensor_are_refused_by_name(datatype, shape, data, words):
    with pytest.raises(BadInput, match=f"input 'x': .*{words}"):
        values(datatype, shape, data)


@pytest.mark.parametrize(
    "shape", [None, 3, "3", [], [1] * 9, [-1], [1.0], [True], ["1"], [None], [2**62], [10**50], [[1]]]
)
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises(BadInput, match="'shape' must"):
        check_shape(shape)
