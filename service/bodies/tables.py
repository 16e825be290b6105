"""Arrow tables from strangers: which of their columns the model takes, and what those may hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ebm.data.tabular import number_column
from ebm.detector import Detector
from ebm.errors import BadInput
from service.bodies.body import too_large
from service.bodies.takes import Takes, as_input, takes

pc: Any = pyarrow.compute  # its functions are made at run time
INDEX = "__index_level_"  # what pandas calls an index that it writes beside the columns


def choose(
    names: Sequence[str], wanted: Takes, *, named: bool, ignore_unknown: bool, source: str
) -> list[str]:
    """The columns to read, in the model's order: by name where both have names, else by position.

    Raises:
        BadInput: a column missing, unknown (unless ignored), there twice, or another number of columns.
    """
    if len(names) > wanted.most_columns:
        raise BadInput(f"{source}: {len(names)} columns, the model takes {wanted.width}")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadInput(f"{source}: two columns are named {name[:80]!r}", column=name[:80])
        seen.add(name)
    there = [name for name in names if not name.startswith(INDEX)]
    if wanted.columns is None or not named:
        if len(there) != wanted.width:
            raise BadInput(f"{source}: {len(there)} columns, the model takes {wanted.width}")
        return there
    for name in wanted.columns:
        if name not in seen:
            lost = sum(column not in seen for column in wanted.columns)
            more = f" (and {lost - 1} more)" if lost > 1 else ""
            raise BadInput(f"{source}: column {name!r} is missing{more}", column=name)
    unknown = [name for name in there if name not in wanted.known]
    if unknown and not ignore_unknown:
        name = unknown[0][:80]
        text = f"the model has no column {name!r} (leave it out, or add ?ignore_unknown=true)"
        raise BadInput(f"{source}: {text}", column=name)
    return list(wanted.columns)


def require_simple(fields: Sequence[pa.Field], source: str) -> None:
    """Refuse columns of nested or unusual types, before their cells are read."""
    for field in fields:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if not (
            pa.types.is_primitive(kind)
            or _is_text(kind)
            or pa.types.is_decimal(kind)
            or pa.types.is_null(kind)
        ):
            name = field.name[:80]
            raise BadInput(
                f"{source}: column {name!r} holds {str(field.type)[:60]}, not one value a row", column=name
            )


def require_modest(table: pa.Table, limit: int) -> None:
    """Refuse texts that few bytes stand for many times, and that would take more than `limit` bytes written out."""
    total = 0
    for column in table.columns:
        for chunk in column.chunks:
            total += _text_bytes(chunk)
            if total > limit:
                raise too_large(limit, "max_decompressed_bytes", "the text of the table")


def _text_bytes(cells: Any) -> int:
    if pa.types.is_dictionary(cells.type):
        if not _is_text(cells.type.value_type) or not len(cells.dictionary):
            return 0
        return pc.sum(_lengths(cells.dictionary).take(cells.indices)).as_py() or 0
    return (pc.sum(_lengths(cells)).as_py() or 0) if _is_text(cells.type) else 0


def _lengths(cells: Any) -> pa.Array:
    """Bytes of each text."""
    if pa.types.is_string_view(cells.type):
        views = np.frombuffer(cells.buffers()[1], np.int32).reshape(-1, 4)[
            cells.offset : cells.offset + len(cells), 0
        ]
        return pa.array(views.astype(np.int64), mask=cells.is_null().to_numpy(zero_copy_only=False))
    return pc.cast(pc.binary_length(cells), pa.int64())


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def check_table(
    table: pa.Table, detector: Detector, source: str = "the table", *, nulls: bool = False
) -> np.ndarray | pa.Table:
    """A table of just the model's columns, in its order, as the model scores it.

    Raises:
        BadInput: a cell that does not fit; names row and column.
    """
    wanted = takes(detector)
    if wanted.numbers:
        columns = [number_column(table[name], name, source) for name in table.column_names]
        return as_input(np.column_stack(columns), detector, nulls=nulls)
    return as_input(table.rename_columns(list(wanted.kinds)), detector, nulls=nulls)


def line(error: object) -> str:
    """An error of Arrow's as one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
