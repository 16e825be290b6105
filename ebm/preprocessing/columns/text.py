"""Cells of a CSV file, which are all text, as what a column of a known type takes."""

from __future__ import annotations

import pyarrow as pa

from ebm.preprocessing.checks import clip_text
from ebm.preprocessing.columns.base import CellError, first, pc

TRUE, FALSE = pa.array(["true", "1"]), pa.array(["false", "0"])


def parse_text(cells: pa.Array, kind: str) -> pa.Array:
    """Numbers and booleans by the `type` that a schema gives a column; times and categories are taken as text.

    Raises:
        CellError: the first cell that is no number, or neither true nor false.
    """
    if kind == "numeric":
        return _numbers(pc.utf8_trim_whitespace(cells))
    return _booleans(cells) if kind == "boolean" else cells


def _numbers(cells: pa.Array) -> pa.Array:
    try:
        return pc.cast(cells, pa.float64())
    except pa.ArrowException:  # it does not say which row
        for row, cell in enumerate(cells):
            try:
                pc.cast(cell, pa.float64())
            except pa.ArrowException:
                raise CellError(row, f"is {clip_text(cell.as_py())}, not a number") from None
        raise


def _booleans(cells: pa.Array) -> pa.Array:
    words = pc.utf8_lower(pc.utf8_trim_whitespace(cells))
    true = pc.is_in(words, value_set=TRUE)
    fits = pc.or_(pc.or_(true, pc.is_in(words, value_set=FALSE)), cells.is_null())
    if not pc.all(fits).as_py():
        row = first(pc.invert(fits).to_numpy(zero_copy_only=False))
        raise CellError(row, f"is {clip_text(cells[row].as_py())}, not true or false")
    return pc.if_else(cells.is_null(), pa.scalar(None, pa.bool_()), true)
