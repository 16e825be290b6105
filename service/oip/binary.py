"""The binary tensor extension: JSON first, then the tensors' bytes, little-endian and row-major, in the order in which
the JSON names them."""

from __future__ import annotations

import re
import struct

import numpy as np

from ebm.errors import BadInput

HEADER = "Inference-Header-Content-Length"
NUMBER = re.compile(r"[0-9]{1,18}")
# What a tensor of each datatype is made of. BYTES has no fixed size; BF16, which numpy lacks, is read as bits.
DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BF16": np.dtype("<u2"),
}
DATATYPES = (*DTYPES, "BYTES")


def split(body: bytes, header: str | None) -> tuple[bytes, memoryview]:
    """The JSON of a body, and the bytes of the tensors after it.

    Args:
        header: the value of Inference-Header-Content-Length; None where it was not sent: all is JSON.

    Raises:
        BadInput: not a number, or more than there is.
    """
    if header is None:
        return body, memoryview(b"")
    if not NUMBER.fullmatch(header):
        raise BadInput(f"{HEADER}: {header[:40]!r} is not a number of bytes")
    length = int(header)
    if length > len(body):
        raise BadInput(f"{HEADER}: {length} is more than the body's {len(body)} bytes")
    return body[:length], memoryview(body)[length:]


def decode(content: memoryview, datatype: str, n: int) -> np.ndarray:
    """n elements of a datatype: (n,). BF16 and FP16 come as float32, BYTES as text.

    Raises:
        BadInput: the bytes are not n elements.
    """
    if datatype == "BYTES":
        return _decode_text(content, n)
    dtype = DTYPES[datatype]
    if len(content) != n * dtype.itemsize:
        raise BadInput(
            f"binary_data_size is {len(content)}; {n} elements of {datatype} take {n * dtype.itemsize} bytes"
        )
    if datatype == "BOOL":
        flags = np.frombuffer(content, np.uint8)
        if (flags > 1).any():
            raise BadInput(f"a BOOL is a byte 0 or 1, not {flags.max()}")
        return flags.astype(bool)
    values = np.frombuffer(content, dtype)
    if datatype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32) if datatype == "FP16" else values


def encode(values: np.ndarray, datatype: str) -> bytes:
    """Numbers or booleans as the extension has them."""
    return np.ascontiguousarray(values, DTYPES[datatype]).tobytes()


def _decode_text(content: memoryview, n: int) -> np.ndarray:
    """Each element is its length, four bytes, and as many bytes of UTF-8."""
    if len(content) < 4 * n:  # before memory is taken for n
        raise BadInput(f"binary_data_size is {len(content)}; {n} elements of BYTES take {4 * n} or more")
    texts = np.empty(n, dtype=object)
    at = 0
    for i in range(n):
        if at + 4 > len(content):
            raise BadInput(f"element {i} of BYTES begins after the end")
        (length,) = struct.unpack_from("<I", content, at)
        at += 4
        if length > len(content) - at:
            raise BadInput(f"element {i} of BYTES has {length} bytes, and {len(content) - at} are left")
        try:
            texts[i] = str(content[at : at + length], "utf-8")
        except UnicodeDecodeError:
            raise BadInput(f"element {i} of BYTES is not UTF-8") from None
        at += length
    if at != len(content):
        raise BadInput(f"{len(content) - at} bytes follow the last element of BYTES")
    return texts
