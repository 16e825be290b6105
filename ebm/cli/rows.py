"""Rows of a file: the columns a model takes as numbers, and all others kept as they were."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ebm.batch.columns import choose, own_columns, replace_columns
from ebm.cli.pictures import is_pictures, read_pictures
from ebm.data import ReadOptions, read
from ebm.data.tabular import header_of
from ebm.errors import BadInput

__all__ = ["Rows", "own_columns", "read_rows", "replace_columns"]
PARQUET = (".parquet", ".pq")
CSV = (".csv", ".csv.gz")


@dataclass(frozen=True, eq=False)
class Rows:
    """`values` (N, ...) for the model, in user units, a table for models of mixed columns; `table`, the file's own
    columns (None for arrays); `used`, the names in `table` of the columns that became `values`."""

    values: Any
    table: pa.Table | None = None
    used: tuple[str, ...] = ()


def read_rows(
    path: Path,
    columns: list[str] | None,
    input_shape: tuple[int, ...],
    schema: dict[str, Any],
    *,
    allow_missing: bool = False,
) -> Rows:
    """Read what a model takes from any file that `ebm.data.read` knows, or from pictures.

    Columns are found by name where file and model have names, wherever they stand; otherwise the file
    must have exactly the model's columns, in order. Other columns are kept.

    Args:
        columns: the model's column names, where it has names.
        input_shape: of one row in user units.
        schema: the model's input, for the range of its pixels and the types of its columns.
        allow_missing: take empty cells, as NaN. Models of mixed columns judge nulls themselves.

    Raises:
        BadInput: unreadable, a column missing, or a cell that is no finite number; names file, row, column.
    """
    if is_pictures(path):
        files, values = read_pictures(path, schema)
        return Rows(values, pa.table({"file": files}))
    name = path.name.lower()
    if not path.is_file() or not name.endswith(PARQUET + CSV):
        options = ReadOptions(allow_missing=allow_missing) if path.is_file() else None
        return Rows(read(path, options, "mixed" if "frame" in schema else "numbers").values)
    width = math.prod(input_shape)
    parquet = name.endswith(PARQUET)
    table, named = _whole_parquet(path) if parquet else _whole_csv(path)
    used = choose(table.column_names, columns, width, named, path.name)
    names = columns or used
    cells, nullable = "numbers", any(column.get("nullable") for column in schema.get("columns", ()))
    if schema.get("frame"):
        types = {column["name"]: column["type"] for column in schema["columns"]}
        cells = {there: types[name] for there, name in zip(used, names, strict=True)}
    options = ReadOptions(columns=used, header=None if parquet else named)
    if cells == "numbers" and (allow_missing or nullable):
        options = options.model_copy(update={"allow_missing": True})
    values = read(path, options, cells).values
    if not isinstance(values, np.ndarray):
        values = values.rename_columns(list(names))
    if not named:
        names = columns or [f"x{i}" for i in range(width)]
        return Rows(values, table.rename_columns(names), tuple(names))
    return Rows(values, table, used)


def _whole_parquet(path: Path) -> tuple[pa.Table, bool]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return file.read(), True
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path.name}: not a readable Parquet file: {_line(error)}") from None


def _whole_csv(path: Path) -> tuple[pa.Table, bool]:
    """All cells as text, so that what is passed through is written as it was read."""
    from pyarrow import csv

    try:
        with pa.input_stream(str(path)) as stream:
            data = stream.read()
        names, named = header_of(data, path.name, None)
        table = csv.read_csv(
            pa.BufferReader(data),
            read_options=csv.ReadOptions(column_names=names, skip_rows_after_names=int(named)),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name}: not a readable CSV file: {_line(error)}") from None
    if table.num_rows == 0:
        raise BadInput(f"{path.name}: no rows")
    return table, named


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200]
