"""One input tensor: as a request describes it, and as an array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ebm.errors import BadInput
from service.oip.binary import DTYPES, decode

MOST_DIMENSIONS = 8
LARGEST = 2**62


class Tensor(NamedTuple):
    """`data` is what JSON held, `content` the bytes after it: one of them is None. Nothing of either is read yet, so
    that who knows the model can refuse a name or a shape first."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any] | None
    content: memoryview | None

    def values(self) -> np.ndarray:
        """The array, of the tensor's shape: numbers (FP16 and BF16 as float32), booleans, or objects: text or booleans,
        and None.

        Raises:
            BadInput: the data are of another shape or type than the tensor says; names the tensor.
        """
        try:
            if self.content is not None:
                return decode(self.content, self.datatype, math.prod(self.shape)).reshape(self.shape)
            return _from_json(self.data, self.datatype, self.shape)
        except BadInput as error:
            raise BadInput(f"input {self.name[:80]!r}: {error}") from None


def check_shape(shape: Any) -> tuple[int, ...]:
    """Raises BadInput for what is no shape."""
    if not isinstance(shape, list) or not 1 <= len(shape) <= MOST_DIMENSIONS:
        raise BadInput(f"'shape' must be a list of 1 to {MOST_DIMENSIONS} numbers")
    for length in shape:
        if type(length) is not int or not 0 <= length < LARGEST:
            raise BadInput("'shape' must hold whole numbers from 0")
    return tuple(shape)


def _from_json(data: Any, datatype: str, shape: tuple[int, ...]) -> np.ndarray:
    if datatype == "BYTES":
        return _text(data, shape)
    try:
        array = np.asarray(data)
    except (ValueError, OverflowError):
        raise BadInput("'data' is ragged, or nested too deeply") from None
    if array.shape != shape:
        if array.ndim != 1 or array.size != math.prod(shape):
            raise BadInput(f"'data' has shape {list(array.shape)}, 'shape' says {list(shape)}")
        array = array.reshape(shape)
    if datatype == "UINT64" and array.dtype.kind == "f":
        # Whole numbers on both sides of 2^63 are floats to numpy.
        array = np.asarray(data, dtype=object).reshape(shape)
    return _cast(array, datatype) if array.size else array.astype(np.float64)


def _cast(array: np.ndarray, datatype: str) -> np.ndarray:
    kind, wanted = array.dtype.kind, DTYPES[datatype]
    if datatype == "BF16" or wanted.kind == "f":
        if kind == "O":
            array, kind = _with_nulls(array, datatype), "f"
        if kind not in "fiu":
            raise BadInput(f"'data' of {datatype} must be numbers")
        with np.errstate(over="ignore"):  # an infinity is for the model to refuse: it names row and column
            if datatype == "BF16":
                return _round_to_bf16(array.astype(np.float32))
            cast = array.astype(wanted)
            return cast.astype(np.float32) if datatype == "FP16" else cast
    if wanted.kind == "b":
        nulls = kind == "O" and {type(cell) for cell in array.ravel().tolist()} <= {bool, type(None)}
        if kind != "b" and not nulls:
            raise BadInput("'data' of BOOL must be true or false")
        return array
    if kind not in "iu" and not (datatype == "UINT64" and kind == "O" and _whole(array)):
        raise BadInput(f"'data' of {datatype} must be whole numbers")
    limits = np.iinfo(wanted)
    if int(array.min()) < limits.min or int(array.max()) > limits.max:
        raise BadInput(f"'data' of {datatype} must lie from {limits.min} to {limits.max}")
    return array.astype(wanted)


def _whole(array: np.ndarray) -> bool:
    return {type(cell) for cell in array.ravel().tolist()} == {int}


def _with_nulls(array: np.ndarray, datatype: str) -> np.ndarray:
    """Numbers and null, which becomes NaN; a number in quotes is none."""
    if {type(cell) for cell in array.ravel().tolist()} <= {int, float, type(None)}:
        try:
            return array.astype(np.float64)
        except OverflowError:
            pass
    raise BadInput(f"'data' of {datatype} must be numbers")


def _round_to_bf16(values: np.ndarray) -> np.ndarray:
    """To the nearest, half to even, of the upper 16 bits of float32."""
    bits = values.view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) & 0xFFFF0000
    return np.where(np.isnan(values), values, rounded.astype(np.uint32).view(np.float32))


def _text(data: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    rows: list[Any] = list(data)
    nested = any(isinstance(row, list) for row in rows)
    if nested:
        # Columns have one dimension, matrices two; nothing else is accepted before this is asked.
        lengths = {len(row) if isinstance(row, list) else -1 for row in rows}
        if len(shape) != 2 or len(rows) != shape[0] or lengths != {shape[1]}:
            raise BadInput(f"'data' is not nested as its 'shape', {list(shape)}, says")
        rows = list(chain.from_iterable(rows))
    if len(rows) != math.prod(shape):
        raise BadInput(f"'data' has {len(rows)} elements, 'shape' says {list(shape)}")
    for i, cell in enumerate(rows):
        if cell is not None and not isinstance(cell, str):
            raise BadInput(f"element {i} of BYTES is neither text nor null")
    texts = np.empty(len(rows), dtype=object)
    texts[:] = rows
    return texts.reshape(shape)
