"""Rows in user units, cell by cell: which are missing, and new values put beside the ones that stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from torch import Tensor

from ebm.errors import BadInput
from ebm.preprocessing import Coding
from ebm.preprocessing.checks import as_numbers, nan_for_null
from ebm.preprocessing.frames import as_table, is_frame

pc: Any = pyarrow.compute  # its functions are made at run time
Rows = np.ndarray | pa.Table


def as_rows(preprocessor: Any, values: Any) -> Rows:
    """Frames (`is_frame`) as an Arrow table with all their columns, other rows in the model's own form.

    Raises:
        BadInput: rows that do not fit.
    """
    if is_frame(values):
        return as_table(values)
    if hasattr(preprocessor, "rows"):
        return preprocessor.rows(values, allow_missing=True)
    return numbers(values, preprocessor.columns)


def owners(preprocessor: Coding) -> Tensor:
    """(D,) int64: the user's column to which each encoded coordinate belongs."""
    found = getattr(preprocessor, "owners", None)
    if found is None:
        found = np.arange(int(np.prod(preprocessor.shape)))
    return torch.from_numpy(np.asarray(found, dtype=np.int64))


def discrete(preprocessor: Coding) -> Tensor:
    """(D,) bool: coordinates that take a fixed set of values, e.g. those of a category."""
    found = getattr(preprocessor, "discrete", None)
    if found is None:
        found = np.zeros(int(np.prod(preprocessor.shape)), dtype=bool)
    return torch.from_numpy(np.asarray(found, dtype=bool))


def encode(preprocessor: Any, rows: Rows) -> Tensor:
    """Rows without nulls that the model does not know: (N, D).

    Raises:
        BadInput: rows that do not fit; names row and column.
    """
    known = rows if hasattr(preprocessor, "missing") else numbers(rows, preprocessor.columns)
    return torch.from_numpy(preprocessor.transform(known))


def encode_missing(preprocessor: Any, rows: Rows) -> tuple[Tensor, np.ndarray]:
    """Rows with nulls or NaN: their encoding (N, D), and where they are missing, (N, d) bool.

    A preprocessor that knows nothing of missing cells sees its own centre (0) there.

    Raises:
        BadInput: rows that do not fit.
    """
    if hasattr(preprocessor, "missing"):
        missing = np.asarray(preprocessor.missing(rows), dtype=bool)
        return torch.from_numpy(preprocessor.transform(rows, allow_missing=True)), missing
    array = numbers(rows, preprocessor.columns)
    if array.shape[1:] != tuple(preprocessor.input_shape):
        preprocessor.transform(array)  # says what is wrong
    missing = np.isnan(array)
    centre = preprocessor.inverse(np.zeros((1, *preprocessor.shape), np.float32))
    encoded = preprocessor.transform(np.where(missing, centre, array))
    return torch.from_numpy(np.where(missing, np.float32(0), encoded)), missing


def decode(preprocessor: Any, x: Tensor) -> Rows:
    """Encoded rows (N, D) in user units."""
    return preprocessor.inverse(x.cpu().numpy())


def project(preprocessor: Any, x: Tensor) -> Tensor:
    """The encoding of the row that x (N, D) stands for in user units: one level of each category."""
    rows = decode(preprocessor, x)
    if hasattr(preprocessor, "missing"):
        valid = preprocessor.transform(rows, allow_missing=True)
    else:
        valid = preprocessor.transform(rows)
    return torch.from_numpy(valid).to(x.device)


def numbers(values: Any, columns: list[str] | None) -> np.ndarray:
    """Rows as float64 (N, d), NaN for nulls.

    Raises:
        BadInput: a column is missing, or a cell is no number.
    """
    if isinstance(values, pa.Table):
        names = columns or values.column_names
        lost = [name for name in names if name not in values.column_names]
        if lost:
            raise BadInput(f"column '{lost[0]}' is missing", column=lost[0])
        return np.column_stack([_floats(values[name], name) for name in names])
    return as_numbers(nan_for_null(values), columns).astype(np.float64)


def _floats(column: pa.ChunkedArray, name: str) -> np.ndarray:
    kind = column.type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not (numeric or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise BadInput(f"column '{name}' holds {kind}, not numbers", column=name)
    column = pc.cast(column, pa.int8()) if pa.types.is_boolean(kind) else column
    return pc.cast(column, pa.float64(), safe=False).to_numpy()


def merge(original: Rows, new: Rows, changed: np.ndarray, columns: list[str] | None) -> Rows:
    """Rows with the cells of `new` where `changed` (N, d), and those of `original`, untouched, elsewhere.

    A table where either is one, with the model's columns in place of its own and all others kept.
    """
    if isinstance(original, np.ndarray):
        return np.where(changed, new, original) if isinstance(new, np.ndarray) else new
    names = columns or original.column_names[: changed.shape[1]]
    table = original
    for j, name in enumerate(names):
        if not changed[:, j].any():
            continue
        old, column = original[name], cell_column(new, j)
        try:
            column = pc.cast(column, old.type)
        except pa.ArrowException:  # e.g. 36.6 in a column of whole numbers, or a level that the table has not
            wide = pa.float64() if pa.types.is_floating(column.type) else column.type
            old, column = pc.cast(old, wide, safe=False), pc.cast(column, wide)
        filled = pc.if_else(pa.array(changed[:, j]), column, old)
        table = table.set_column(table.column_names.index(name), name, filled)
    return table


def cell_column(rows: Rows, j: int) -> pa.Array:
    """Column j of rows, (N,)."""
    if isinstance(rows, np.ndarray):
        return pa.array(np.ascontiguousarray(rows[:, j]))
    return pa.concat_arrays(rows.column(j).chunks) if rows.num_rows else rows.column(j).combine_chunks()
