"""Rows as a caller has them, matched to a model's columns: by name where they have names, else by position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from ebm.errors import BadInput
from ebm.preprocessing.checks import as_numbers, cell_error, clip_text
from ebm.preprocessing.columns import CellError, Column, plain
from ebm.preprocessing.frames import as_table, is_frame

# One raw column: Python cells, numbers, or Arrow.
Raw = Sequence[Any] | np.ndarray | pa.ChunkedArray


def numbers(values: Any) -> np.ndarray | None:
    """Rows without names as an array of numbers, None as NaN; None where some cell is neither."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return values
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):
        return None
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind != "O" or array.ndim != 2:
        return None
    kinds = {type(cell) for cell in array.ravel().tolist()}
    if any(issubclass(kind, str | bytes) or not hasattr(kind, "__float__") for kind in kinds - {type(None)}):
        return None
    try:
        return array.astype(np.float64)  # None becomes NaN
    except (TypeError, ValueError, OverflowError):
        return None


def match_numbers(values: Any, names: Sequence[str] | None, width: int) -> np.ndarray:
    """Rows without names as an array (N, width), None as NaN.

    Raises:
        BadInput: ragged, empty or of another width, or a cell that is no number; names row and column.
    """
    array = numbers(values)
    if array is None or array.ndim == 0 or len(array) == 0:
        array = as_numbers(values, names)
    if array.ndim != 2 or array.shape[1] != width:
        got = f"{array.shape[1]} values" if array.ndim == 2 else f"shape {array.shape[1:]}"
        raise BadInput(f"row 0 has {got}, the model takes {width} columns", row=0)
    return array


def match_columns(values: Any, names: Sequence[str], named: bool) -> list[Raw]:
    """One raw column for each of `names`, in that order.

    Raises:
        BadInput: no rows, another width, or a column (in a record: a key) that is missing or unknown.
    """
    width = len(names)
    if is_frame(values):
        if isinstance(values, list | tuple) and named:
            return _match_records(values, names)
        table = as_table(values)
        if table.num_rows == 0:
            raise BadInput("no rows")
        if named:
            _compare(table.column_names, names)
            return [table.column(name) for name in names]
        _require_width(table.num_columns, width, 0)
        return list(table.columns)
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf" and values.ndim == 2 and len(values):
        _require_width(values.shape[1], width, 0)
        return [values[:, j] for j in range(width)]
    rows = values.tolist() if isinstance(values, np.ndarray) else values
    if not isinstance(rows, list | tuple):
        raise BadInput(f"expected rows, got {clip_text(values)}")
    if len(rows) == 0:
        raise BadInput("no rows")
    for i, row in enumerate(rows):
        if not isinstance(row, list | tuple):
            raise BadInput(f"row {i} is {clip_text(row)}, not a row of cells", row=i)
        _require_width(len(row), width, i)
    return [[row[j] for row in rows] for j in range(width)]


def accept_column(column: Column, raw: Raw) -> pa.Array:
    """Raises CellError for the first cell that does not fit."""
    if isinstance(raw, pa.ChunkedArray):
        return column.accept(plain(raw))
    if isinstance(raw, np.ndarray):
        return column.accept(pa.array(raw, from_pandas=True))
    return column.accept_python(raw)


@contextmanager
def naming(column: int, names: Sequence[str] | None, first_row: int = 0, source: str = "") -> Iterator[None]:
    """Turn a CellError into a BadInput that says which column, and which row of all."""
    try:
        yield
    except CellError as error:
        raise cell_error(first_row + error.row, column, error.problem, names, source) from None


def _match_records(records: Sequence[Any], names: Sequence[str]) -> list[Raw]:
    known = set(names)
    for i, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise BadInput(f"row {i}: a record must be an object of column: value", row=i)
        if record.keys() != known:
            for wrong in record.keys() - known:
                text = str(wrong)[:80]
                raise BadInput(f"row {i}: the model has no column {text!r}", row=i, column=text)
            missing = next(name for name in names if name not in record)
            raise BadInput(f"row {i}: column {missing!r} is missing", row=i, column=missing)
    return [[record[name] for record in records] for name in names]


def _compare(given: Sequence[str], names: Sequence[str]) -> None:
    if list(given) == list(names):
        return
    there, known = set(given), set(names)
    for name in names:
        if name not in there:
            lost = len(known - there)
            more = f" (and {lost - 1} more)" if lost > 1 else ""
            raise BadInput(f"column '{name}' is missing{more}", column=name)
    for name in given:
        if name not in known:
            raise BadInput(f"the model has no column '{name}'", column=name)


def _require_width(got: int, width: int, row: int) -> None:
    if got != width:
        raise BadInput(f"row {row} has {got} values, the model takes {width} columns", row=row)
