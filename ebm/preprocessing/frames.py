"""Tables of every make as Arrow: the one form in which columns of mixed types travel inside the library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ebm.errors import BadInput
from ebm.preprocessing.checks import cell_error, clip_text


def is_frame(values: Any) -> bool:
    """Whether `values` has named columns: a frame of pandas, polars or Arrow (anything with an Arrow stream),
    a mapping of columns, or a list of mappings (records)."""
    if isinstance(values, pa.Table | pa.RecordBatch | Mapping) or hasattr(values, "iloc"):
        return getattr(values, "ndim", 2) == 2  # a pandas Series has one dimension
    if hasattr(values, "__arrow_c_stream__"):
        return hasattr(values, "columns") or hasattr(values, "schema")  # a polars Series has neither
    return isinstance(values, list | tuple) and len(values) > 0 and isinstance(values[0], Mapping)


def as_table(values: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """`values` as a `pyarrow.Table` with one column a feature.

    Args:
        values: a frame (`is_frame`), or rows without names: a 2-D array (objects too) or a list of lists.
        columns: names for rows without names; default x0, x1, ...

    Raises:
        BadInput: not a table, two columns of one name, or a column whose cells are not of one kind.
    """
    if isinstance(values, pa.Table):
        table = values
    elif isinstance(values, pa.RecordBatch):
        table = pa.Table.from_batches([values])
    elif not is_frame(values):
        return _from_rows(values, columns)
    elif hasattr(values, "iloc"):  # pandas, column by column, so that an error can name the column
        names = [str(name) for name in values.columns]
        _unique(names)
        cells = [values.iloc[:, j] for j in range(len(names))]
        return _from_columns(names, cells, lambda column: column.tolist())
    elif isinstance(values, Mapping):
        names = [str(name) for name in values]
        _unique(names)
        table = _from_columns(names, list(values.values()), list)
    elif isinstance(values, list | tuple):
        table = _from_records(values)
    else:
        table = _from_stream(values)
    _unique(table.column_names)
    return table


def column_of(cells: Sequence[Any], name: str | int, shown: str) -> pa.Array:
    """Python cells as an Arrow array; NaN becomes null.

    Raises:
        BadInput: cells of several kinds; names the first row that differs from the rows before it.
    """
    try:
        return pa.array(cells, from_pandas=True)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        pass
    kinds = [_kind(cell) for cell in cells]
    known = [kind for kind in kinds if kind is not None]
    if set(known) <= {"number"}:  # integers beyond 64 bits, decimals beside floats
        try:
            return pa.array([None if cell is None else float(cell) for cell in cells], from_pandas=True)
        except (OverflowError, TypeError, ValueError):
            raise BadInput(f"column {shown}: a number too large", column=name) from None
    first = known[0] if known else None
    row = next((i for i, kind in enumerate(kinds) if kind not in (None, first)), None)
    if row is None:
        row = next((i for i, kind in enumerate(kinds) if kind is not None), 0)
        problem = f"is {clip_text(cells[row])}, not a number, text, boolean or time"
    else:
        problem = f"holds {clip_text(cells[row])} among cells of another kind ({first})"
    raise BadInput(f"row {row}, column {shown} {problem}", row=row, column=name)


def _kind(cell: Any) -> str | None:
    if cell is None or (isinstance(cell, float) and cell != cell):
        return None
    if isinstance(cell, bool | np.bool_):
        return "boolean"
    is_number = isinstance(cell, int | float | np.number) or type(cell).__name__ == "Decimal"
    return "number" if is_number else type(cell).__name__


def _from_rows(values: Any, columns: Sequence[str] | None) -> pa.Table:
    cells = values.tolist() if isinstance(values, np.ndarray) else values
    if not isinstance(cells, list | tuple):
        raise BadInput(f"expected a table, got {clip_text(values)}")
    if not cells:
        raise BadInput("no rows")
    for i, row in enumerate(cells):
        if not isinstance(row, list | tuple):
            raise BadInput(f"row {i} is {clip_text(row)}, not a row of cells", row=i)
        if len(row) != len(cells[0]):
            raise BadInput(f"row {i} has {len(row)} values, row 0 has {len(cells[0])}", row=i)
        for j, cell in enumerate(row):
            if isinstance(cell, list | tuple | dict | set | np.ndarray):
                raise cell_error(i, j, f"is {clip_text(cell)}, not one value", columns)
    width = len(cells[0])
    if width == 0:
        raise BadInput("the table has no columns")
    if columns is not None and len(columns) != width:
        raise BadInput(f"{len(columns)} column names for {width} columns")
    names = list(columns) if columns is not None else [f"x{j}" for j in range(width)]
    _unique(names)
    return _from_columns(names, [[row[j] for row in cells] for j in range(width)], list)


def _from_records(records: Sequence[Any]) -> pa.Table:
    names = {str(name): name for record in records if isinstance(record, Mapping) for name in record}
    for i, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise BadInput(f"row {i}: a record must be a mapping of column to value", row=i)
    return _from_columns(list(names), [[r.get(key) for r in records] for key in names.values()], list)


def _from_columns(names: list[str], columns: list[Any], to_list: Callable[[Any], Sequence[Any]]) -> pa.Table:
    arrays = []
    for name, column in zip(names, columns, strict=True):
        if isinstance(column, str | bytes) or not hasattr(column, "__len__"):
            raise BadInput(f"column '{name}' is {clip_text(column)}, not a list of cells", column=name)
        if getattr(column, "ndim", 1) != 1:
            raise BadInput(f"column '{name}' has {column.ndim} dimensions, not one", column=name)
        try:
            array = pa.array(column, from_pandas=True)
        except (pa.ArrowException, OverflowError, ValueError, TypeError):
            array = column_of(to_list(column), name, f"'{name}'")
        arrays.append(array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array)
        if len(arrays[-1]) != len(arrays[0]):
            rows = f"{len(arrays[-1])} rows, column '{names[0]}' has {len(arrays[0])}"
            raise BadInput(f"column '{name}' has {rows}", column=name)
    if not arrays:
        raise BadInput("the table has no columns")
    return pa.table(arrays, names=names)


def _from_stream(values: Any) -> pa.Table:
    try:
        return pa.table(values)
    except Exception as error:  # the other side of the stream raises what it likes
        message = " ".join(str(error).split())[:200]
        raise BadInput(f"the frame cannot be read as Arrow: {message or type(error).__name__}") from None


def _unique(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise BadInput(f"two columns are named '{twice}'", column=twice)
