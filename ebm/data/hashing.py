"""The contents of an Arrow column as bytes that do not depend on how Arrow happens to hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ebm.preprocessing.columns import plain

pc: Any = pyarrow.compute  # its functions are made at run time
BATCH = 65_536


def update_with_column(digest: Any, column: pa.ChunkedArray) -> None:
    """Add type, nulls and values of `column` to a hashlib digest."""
    digest.update(f"{column.type};".encode())
    for start in range(0, len(column), BATCH):
        cells = plain(column.slice(start, BATCH))
        null = cells.is_null().to_numpy(zero_copy_only=False)
        digest.update(np.packbits(null).tobytes())
        digest.update(_bytes(cells.drop_null()))


def _bytes(cells: pa.Array) -> bytes:
    """Of an array without nulls."""
    kind = cells.type
    if pa.types.is_boolean(kind):
        return cells.cast(pa.int8()).to_numpy(zero_copy_only=False).tobytes()
    if pa.types.is_integer(kind):
        # By value: the same numbers in a wider type are told apart by the type's name alone.
        wide = pa.uint64() if pa.types.is_unsigned_integer(kind) else pa.int64()
        return np.ascontiguousarray(
            cells.cast(wide).to_numpy(), dtype="<i8" if wide == pa.int64() else "<u8"
        ).tobytes()
    if pa.types.is_floating(kind):
        return np.ascontiguousarray(cells.cast(pa.float64()).to_numpy(), dtype="<f8").tobytes()
    if pa.types.is_temporal(kind):
        narrow = kind.bit_width == 32
        ticks = cells.cast(pa.int32() if narrow else pa.int64()).to_numpy()
        return np.ascontiguousarray(ticks, dtype="<i8").tobytes()
    texts = (
        cells.cast(pa.string())
        if not pa.types.is_nested(kind)
        else pa.array(map(repr, cells.to_pylist()), pa.string())
    )
    lengths = np.ascontiguousarray(pc.binary_length(texts).to_numpy(zero_copy_only=False), dtype="<i8")
    return lengths.tobytes() + "".join(texts.to_pylist()).encode()
