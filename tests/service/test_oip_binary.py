"""The binary tensor extension against bytes written by hand, as its specification has them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ebm.errors import BadInput
from service.oip.binary import DTYPES, decode, encode, split


@pytest.mark.parametrize(
    ("datatype", "content", "values"),
    [
        ("BOOL", b"\x01\x00", [True, False]),
        ("UINT8", b"\x00\xff", [0, 255]),
        ("UINT16", b"\x01\x02\xff\xff", [513, 65535]),
        ("UINT32", b"\x01\x00\x00\x80", [2**31 + 1]),
        ("UINT64", b"\xff\xff\xff\xff\xff\xff\xff\xff", [2**64 - 1]),
        ("INT8", b"\x80\x7f", [-128, 127]),
        ("INT16", b"\xfe\xff", [-2]),
        ("INT32", b"\xfe\xff\xff\xff\x04\x03\x02\x01", [-2, 0x01020304]),
        ("INT64", b"\xfe\xff\xff\xff\xff\xff\xff\xff", [-2]),
        ("FP16", b"\x00\x3c\x00\xc5", [1.0, -5.0]),
        ("BF16", b"\x80\x3f\x20\xc1", [1.0, -10.0]),
        ("FP32", b"\x00\x00\x80\x3f\x00\x00\x20\xc1", [1.0, -10.0]),
        ("FP64", b"\x00\x00\x00\x00\x00\x00\xf0\x3f", [1.0]),
        ("BYTES", b"\x03\x00\x00\x00abc\x00\x00\x00\x00\x02\x00\x00\x00\xc3\xa9", ["abc", "", "é"]),
    ],
)
def test_elements_are_little_endian_and_bytes_carry_their_length(datatype, content, values):
    assert decode(memoryview(content), datatype, len(values)).tolist() == values


@given(st.sampled_from(sorted(set(DTYPES) - {"BF16"})), st.data())
def test_what_is_encoded_decodes_to_the_same(datatype, data):
    wanted = DTYPES[datatype]
    array = data.draw(hnp.arrays(wanted, st.integers(0, 20)))
    back = decode(memoryview(encode(array, datatype)), datatype, len(array))
    np.testing.assert_array_equal(back.astype(wanted), array)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_text_of_any_kind_goes_and_comes(texts):
    parts = [text.encode() for text in texts]
    content = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
    assert decode(memoryview(content), "BYTES", len(texts)).tolist() == texts


@pytest.mark.parametrize(
    ("datatype", "content", "n", "words"),
    [
        ("FP32", b"\0" * 7, 2, "binary_data_size is 7; 2 elements of FP32 take 8 bytes"),
        ("FP32", b"", 2**61, "take"),
        ("BOOL", b"\x02", 1, "a BOOL is a byte 0 or 1, not 2"),
        ("BYTES", b"\x01\0\0", 1, "1 elements of BYTES take 4 or more"),
        ("BYTES", b"", 2**61, "take"),
        ("BYTES", b"\x09\0\0\0abcd", 2, "element 0 of BYTES has 9 bytes, and 4 are left"),
        ("BYTES", b"\x04\0\0\0abcd", 2, "element 1 of BYTES begins after the end"),
        ("BYTES", b"\x01\0\0\0abcd", 1, "3 bytes follow the last element"),
        ("BYTES", b"\xff\xff\xff\xff", 1, "has 4294967295 bytes, and 0 are left"),
        ("BYTES", b"\x01\0\0\0\xff", 1, "element 0 of BYTES is not UTF-8"),
    ],
)
def test_other_bytes_are_refused(datatype, content, n, words):
    with pytest.raises(BadInput, match=words):
        decode(memoryview(content), datatype, n)


def test_the_header_tells_where_json_ends():
    assert split(b"{}abc", "2") == (b"{}", memoryview(b"abc"))
    assert split(b"{}", None) == (b"{}", memoryview(b""))
    assert split(b"abc", "0") == (b"", memoryview(b"abc"))


@pytest.mark.parametrize("header", ["3", "-1", "1.5", "", " 2", "0x2", "9" * 5000, "²"])
def test_a_header_that_lies_is_refused(header):
    with pytest.raises(BadInput, match="Inference-Header-Content-Length"):
        split(b"{}", header)
