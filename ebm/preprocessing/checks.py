"""Turning what a caller handed over into numbers, or into one line that names the cell at fault.

Row numbers are 0-based everywhere: row 0 is the first row of data, a header not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ebm.errors import BadInput

Where = Callable[[int], str]
MAX_DEPTH = 3  # (H, W, C) within a row


def column_name(column: int, columns: Sequence[str] | None) -> str:
    """How a message names a column: by its name where it has one, else by its 0-based index."""
    return f"column '{columns[column]}'" if columns is not None else f"column {column}"


def clip_text(value: Any, limit: int = 40) -> str:
    """repr(value) on one line, shortened, so that a message stays a message."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def as_numbers(values: Any, columns: Sequence[str] | None = None, source: str = "") -> np.ndarray:
    """An array of real numbers (bool, int or float dtype) with rows along the first axis.

    Args:
        values: array or nested lists, (N, ...). Lists are checked element by element where numpy
            cannot make numbers of them.
        columns: names, used in messages.
        source: what to name in messages, e.g. a file.

    Raises:
        BadInput: no rows, ragged rows, or a cell that is not a real number; names row and column.
    """
    start = f"{source}: " if source else ""
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):
        array = None
    if array is None or array.dtype.kind not in "biuf":
        rows = values.tolist() if isinstance(values, np.ndarray) else values
        _raise_first_culprit(rows, columns, start)
        # Objects that are all numbers, e.g. a column of Python ints in an object array.
        try:
            array = np.asarray(rows, dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            raise BadInput(f"{start}not an array of numbers") from None
    if array.ndim == 0:
        raise BadInput(f"{start}expected rows of numbers, got a single value")
    if len(array) == 0:
        raise BadInput(f"{start}no rows")
    return array


def nan_for_null(values: Any, depth: int = MAX_DEPTH) -> Any:
    """Nested lists, or an array of objects, with NaN for None within the rows; all else as it is."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "O":
        values = values.tolist()
    if not isinstance(values, list | tuple) or depth < 0:
        return values
    inside = depth < MAX_DEPTH
    return [np.nan if one is None and inside else nan_for_null(one, depth - 1) for one in values]


def _raise_first_culprit(rows: Any, columns: Sequence[str] | None, start: str) -> None:
    """Walk nested lists; raise for the first ragged row or the first cell that is no number."""
    if not isinstance(rows, (list, tuple)):
        raise BadInput(f"{start}expected rows of numbers, got {clip_text(rows)}")
    first: tuple[int, ...] | None = None
    for i, row in enumerate(rows):
        shape = _shape_of_row(row, i, columns, start, ())
        if first is None:
            first = shape
        elif shape != first:
            raise BadInput(f"{start}row {i} has {_count(shape)}, row 0 has {_count(first)}", row=i)


def _count(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} values" if len(shape) == 1 else f"shape {shape}"


def _shape_of_row(
    cell: Any, row: int, columns: Sequence[str] | None, start: str, at: tuple[int, ...]
) -> tuple[int, ...]:
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if isinstance(cell, (list, tuple)):
        if len(at) >= MAX_DEPTH:
            raise BadInput(f"{start}row {row}: lists nested too deeply", row=row)
        shapes = [_shape_of_row(inner, row, columns, start, (*at, k)) for k, inner in enumerate(cell)]
        for k, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise BadInput(
                    f"{start}row {row}: line {k} has {_count(shape)}, line 0 has {_count(shapes[0])}",
                    row=row,
                )
        return (len(cell), *(shapes[0] if shapes else ()))
    if isinstance(cell, (bool, int, float, np.bool_, np.integer, np.floating)):
        try:
            float(cell)
        except OverflowError:
            raise BadInput(f"{start}row {row}{_at(at, columns)}: an integer too large", row=row) from None
        return ()
    problem = "is missing" if cell is None else f"{clip_text(cell)} is not a number"
    column: str | int | None = None
    if len(at) == 1:
        column = columns[at[0]] if columns is not None and at[0] < len(columns) else at[0]
    raise BadInput(f"{start}row {row}{_at(at, columns)}: {problem}", row=row, column=column)


def _at(at: tuple[int, ...], columns: Sequence[str] | None) -> str:
    if len(at) > 1:
        return f", pixel {at}"
    named = columns if columns is not None and all(k < len(columns) for k in at) else None
    return "".join(", " + column_name(k, named) for k in at)


def require_finite(
    array: np.ndarray,
    columns: Sequence[str] | None = None,
    source: str = "",
    *,
    name: Where | None = None,
    allow_missing: bool = False,
) -> None:
    """Refuse NaN (unless `allow_missing`) and infinities in `array` (N, ...).

    Args:
        name: maps the flat index within a row to the words that name it; default: column names.

    Raises:
        BadInput: the first offending cell, by row and column.
    """
    if array.dtype.kind != "f":
        return
    bad = np.isinf(array) if allow_missing else ~np.isfinite(array)
    if not bad.any():
        return
    flat = bad.reshape(len(array), -1)
    row = int(flat.any(axis=1).argmax())
    column = int(flat[row].argmax())
    missing = np.isnan(array.reshape(len(array), -1)[row, column])
    problem = "is missing (NaN)" if missing else "is infinite"
    raise cell_error(row, column, problem, columns, source, name)


def cell_error(
    row: int,
    column: int,
    problem: str,
    columns: Sequence[str] | None = None,
    source: str = "",
    name: Where | None = None,
) -> BadInput:
    """A BadInput that names one cell: "rows.csv: row 3, column 'age' is missing (NaN)"."""
    where = name(column) if name is not None else column_name(column, columns)
    key = columns[column] if columns is not None else column
    return BadInput(f"{source + ': ' if source else ''}row {row}, {where} {problem}", row=row, column=key)


def to_float32(
    array: np.ndarray,
    columns: Sequence[str] | None = None,
    source: str = "",
    *,
    name: Where | None = None,
) -> np.ndarray:
    """Cast an array without infinities to contiguous float32, refusing what float32 would make infinite.

    Raises:
        BadInput: the first cell whose magnitude exceeds 3.4e38.
    """
    with np.errstate(over="ignore"):
        small = np.ascontiguousarray(array, dtype=np.float32)
    lost = np.isinf(small)
    if lost.any():
        flat = lost.reshape(len(array), -1)
        row = int(flat.any(axis=1).argmax())
        raise cell_error(row, int(flat[row].argmax()), "is too large for float32", columns, source, name)
    return small
