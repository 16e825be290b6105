"""What is learnt of each column of a training table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ebm.errors import BadInput
from ebm.preprocessing.checks import require_finite
from ebm.preprocessing.columns import AnyColumn, Numeric, learn, plain
from ebm.preprocessing.columns.numeric import number_figures
from ebm.preprocessing.copies import count_copies, count_equal, sample_rows
from ebm.preprocessing.matching import naming

MAX_COORDINATES = 8192  # of all categories together


def learn_array(array: np.ndarray, names: list[str] | None) -> tuple[AnyColumn, ...]:
    """The columns of an array of numbers (N, d), NaN for nulls."""
    if array.ndim != 2 or array.shape[1] == 0:
        raise BadInput(f"a table of shape (rows, columns) is needed, got shape {array.shape}")
    n, d = array.shape
    if names is not None and len(names) != d:
        raise BadInput(f"{len(names)} column names for {d} columns")
    require_finite(array, names, allow_missing=True)
    _require_rows(n)
    integer = array.dtype.kind in "biu"
    columns = []
    for j in range(d):
        x = array[:, j].astype(np.float64)
        with naming(j, names):
            figures = number_figures(x)
        name = names[j] if names is not None else f"x{j}"
        columns.append(Numeric(name=name, integer=integer, **figures))
    _require_variation(columns, n)
    sample = array[sample_rows(n)].astype(np.float64)
    means = np.array([column.mean for column in columns])
    copies = count_copies(np.where(np.isnan(sample), means, sample))
    return tuple(_counted(columns, copies))


def learn_table(table: pa.Table, named: bool, max_levels: int) -> tuple[AnyColumn, ...]:
    """The columns of a table; `named`: whether messages call them by name."""
    _require_rows(table.num_rows)
    names = table.column_names
    texts = sum(not pa.types.is_primitive(field.type) for field in table.schema)
    max_levels = max(2, min(max_levels, MAX_COORDINATES // max(texts, 1)))
    columns, sampled = [], []
    some = pa.array(sample_rows(table.num_rows))
    for j, name in enumerate(names):
        with naming(j, names if named else None):
            column = learn(name, table.column(j), max_levels)
            sampled.append(column.accept(plain(table.column(j)).take(some)))
        columns.append(column)
    _require_variation(columns, table.num_rows)
    copies = np.ones(len(columns))
    discrete = [j for j, column in enumerate(columns) if all(column.discrete)]
    other = [j for j, column in enumerate(columns) if not all(column.discrete)]
    if other:
        copies[other] = count_copies(np.stack([columns[j].encode(sampled[j])[:, 0] for j in other], axis=1))
    copies[discrete] = count_equal([sampled[j] for j in discrete])
    return tuple(_counted(columns, copies))


def _require_rows(n: int) -> None:
    if n < 2:
        raise BadInput(f"training needs at least 2 rows, got {n}")


def _require_variation(columns: Sequence[AnyColumn], n: int) -> None:
    if all(column.constant for column in columns):
        raise BadInput(f"every column is constant over the {n} training rows: nothing to learn")


def _counted(columns: Sequence[Any], copies: np.ndarray) -> list[Any]:
    return [c.model_copy(update={"copies": float(m)}) for c, m in zip(columns, copies, strict=True)]
