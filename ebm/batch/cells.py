"""Columns of a block as what a model takes, whole columns at a time, and the cells that stand in the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ebm.data.mixed import NULLS as MIXED_NULLS
from ebm.data.tabular import NULLS
from ebm.preprocessing.checks import clip_text
from ebm.preprocessing.columns import CellError, parse_text, plain

pc: Any = pyarrow.compute  # its functions are made at run time
SLAB = 2048
Found = dict[int, str]  # what is wrong, by row of the block


def numbers_of_text(column: pa.ChunkedArray) -> tuple[np.ndarray, Found]:
    """Cells of a CSV file as float64, empty ones NaN; and those that are no number, which are NaN, too."""
    cells = plain(column)
    try:
        parsed = pc.cast(cells, pa.float64())  # as nearly every column is
    except pa.ArrowException:
        parsed, found = _parse(_with_nulls(cells, NULLS), lambda part: _number(part, ": {} is not a number"))
        return _as_numpy(parsed), found
    return _as_numpy(parsed), {}


def matrix(columns: Sequence[np.ndarray | pa.ChunkedArray]) -> np.ndarray:
    """Columns of numbers without nulls, all (n,), as rows (n, d): of their type where all have one, else float64."""
    table = pa.table(
        [pa.array(c) if isinstance(c, np.ndarray) else c for c in columns], names=_names(columns)
    )
    types = {field.type for field in table.schema}
    out = np.empty(
        (len(table), len(columns)), types.pop().to_pandas_dtype() if len(types) == 1 else np.float64
    )
    start = 0
    # By rows that fit the cache: whole columns would each touch all of `out`.
    for batch in table.to_batches(max_chunksize=SLAB):
        rows = out[start : start + len(batch)]
        for j, column in enumerate(batch.columns):
            rows[:, j] = column.to_numpy()
        start += len(batch)
    return out


def _names(columns: Sequence[Any]) -> list[str]:
    return [str(j) for j in range(len(columns))]


def typed_of_text(column: pa.ChunkedArray, kind: str) -> tuple[pa.Array, Found]:
    """Cells of a CSV file as a model of mixed columns takes them, by the `type` of its schema; bad ones are null."""
    cells = _with_nulls(plain(column), MIXED_NULLS)
    if kind == "numeric":
        return _parse(cells, lambda part: _number(part, " is {}, not a number"))
    return _parse(cells, lambda part: _spaced(parse_text, part, kind))


def _number(cells: pa.Array, problem: str) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(cells)
    try:
        return pc.cast(trimmed, pa.float64())
    except pa.ArrowException:
        raise CellError(0, problem.format(clip_text(cells[0].as_py()))) from None


def _spaced(parse: Callable[[pa.Array, str], pa.Array], cells: pa.Array, kind: str) -> pa.Array:
    try:
        return parse(cells, kind)
    except CellError as error:
        raise CellError(error.row, f" {error.problem}") from None


def _parse(cells: pa.Array, parse: Callable[[pa.Array], pa.Array]) -> tuple[pa.Array, Found]:
    """What fails is halved and tried again: k bad cells among n cost O(k log n) tries."""
    found: Found = {}
    good: list[pa.Array] = []
    waiting = [(0, len(cells))]
    while waiting:
        start, stop = waiting.pop()
        try:
            good.append(parse(cells[start:stop]))
        except CellError as error:
            if stop - start == 1:
                found[start] = error.problem
                good.append(parse(pa.nulls(1, cells.type)))
                continue
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]
    return (good[0] if len(good) == 1 else pa.concat_arrays(good)), found


def _with_nulls(cells: pa.Array, nulls: list[str]) -> pa.Array:
    return pc.if_else(pc.is_in(cells, value_set=pa.array(nulls)), pa.scalar(None, cells.type), cells)


def _as_numpy(cells: pa.Array) -> np.ndarray:
    return cells.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
