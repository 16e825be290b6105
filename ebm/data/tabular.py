"""CSV and Parquet, by way of Arrow."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from ebm.data.columnar import open_columns
from ebm.data.options import ReadOptions
from ebm.data.table import Table, make_table, tidy_labels
from ebm.errors import BadInput
from ebm.preprocessing.checks import clip_text

TABLE_OPTIONS = {"columns", "ignore", "label_column", "group", "allow_missing"}
# What people and tools write for a missing number; anything else that is no number is an error.
NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "none"]


def read_csv(path: Path, options: ReadOptions) -> Table:
    """values and labels from a CSV file, plain or gzipped, UTF-8, comma-separated."""
    return parse_csv(csv_bytes(path, options), path.name, options)


def csv_bytes(path: Path, options: ReadOptions) -> bytes:
    """The text of a CSV file."""
    options.only(path, TABLE_OPTIONS | {"header"})
    try:
        # The name's .gz makes Arrow decompress.
        with pa.input_stream(str(path)) as stream:
            return stream.read()
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path.name}: cannot be read: {_line(error)}") from None


def parse_csv(data: bytes, source: str, options: ReadOptions | None = None) -> Table:
    """As `read_csv`, from bytes, e.g. a request body.

    Raises:
        BadInput: an empty or ragged file, doubtful column names, or a cell that is not a number; names
            row (0-based, header not counted) and column.
    """
    options = options or ReadOptions()
    names, has_header = header_of(data, source, options.header)
    shown = names if has_header else None
    features, label = choose_columns(names, shown is not None, source, options)
    beside = beside_features(options)

    try:
        arrow = parse_cells(
            data,
            names,
            has_header,
            column_types=dict.fromkeys(features, pa.float64()) | dict.fromkeys(beside, pa.string()),
            include_columns=[*features, *beside],
            null_values=NULLS,
            # Labels stand as written: "none" may well be the label of what is normal.
            strings_can_be_null=False,
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        # Arrow does not say which row, so look for it; this is the slow path of a file that is refused.
        raise_first_culprit(data, names, has_header, set(features), source)
        raise BadInput(f"{source}: not a readable CSV file: {_line(error)}") from None
    return finish(arrow, features, label, shown, source, options)


def parse_cells(
    data: bytes,
    names: list[str],
    has_header: bool,
    *,
    on_ragged: Callable[[pacsv.InvalidRow], str] | None = None,
    **convert: Any,
) -> pa.Table:
    """The cells of a CSV file, by Arrow; `convert` is Arrow's `ConvertOptions`. Raises what Arrow raises.

    Args:
        on_ragged: says "skip" or "error" of a row with another number of cells, whose number counts from 1.
    """
    return pacsv.read_csv(
        pa.BufferReader(data if data.endswith(b"\n") else data + b"\n"),
        read_options=pacsv.ReadOptions(
            column_names=names,
            skip_rows_after_names=int(has_header),
            use_threads=on_ragged is None,  # threads do not know the number of a row
            # One block where it fits: Arrow refuses a row, or a quoted cell, that crosses two blocks.
            block_size=min(max(len(data) + 1, 1 << 20), 1 << 30),
        ),
        parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=on_ragged),
        convert_options=pacsv.ConvertOptions(**convert),
    )


def read_parquet(path: Path, options: ReadOptions) -> Table:
    """values and labels from one Parquet or Arrow file; an index that pandas stored is left out."""
    arrow, features, label, names = parquet_columns(path, options)
    return finish(arrow, features, label, names, path.name, options)


def parquet_columns(path: Path, options: ReadOptions) -> tuple[pa.Table, list[str], str | None, list[str]]:
    """The columns asked for, and the names of the features, of the label and of all columns."""
    options.only(path, TABLE_OPTIONS)
    with open_columns(path) as file:
        names = [n for n in file.schema.names if not n.startswith("__index_level_")]
        features, label = choose_columns(names, True, path.name, options)
        arrow = file.read([*features, *beside_features(options)])
    return arrow, features, label, names


def header_of(data: bytes, source: str, header: bool | None) -> tuple[list[str], bool]:
    """Names of the columns, and whether they are the first line; else names are the column numbers."""
    try:
        cells = next(_records(data), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{source}: not a readable CSV file: {_line(error)}") from None
    if not cells:
        raise BadInput(f"{source}: the file is empty or starts with an empty line")
    numbered = [str(i) for i in range(len(cells))]
    if header is None:
        # pandas names unnamed columns 0, 1, 2, ...: numbers, yet a header.
        header = cells == numbered or not all(_is_number(cell) for cell in cells)
    if not header:
        return numbered, False
    seen: set[str] = set()
    for i, name in enumerate(cells):
        if not name.strip():
            raise BadInput(
                f"{source}: column {i} has no name (an index? write it with index=False)", column=i
            )
        if name in seen:
            raise BadInput(f"{source}: two columns are named {clip_text(name)}", column=name)
        seen.add(name)
    return cells, True


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell in NULLS
    return True


def beside_features(options: ReadOptions) -> list[str]:
    """The columns that say something about a row and are none of its features."""
    return list(dict.fromkeys(name for name in (options.label_column, options.group) if name is not None))


def choose_columns(
    names: list[str], named: bool, source: str, options: ReadOptions
) -> tuple[list[str], str | None]:
    """The feature columns and the label column, as asked for."""
    for name in [*(options.columns or ()), *options.ignore, *beside_features(options)]:
        if name not in names:
            known = (
                ", ".join(names[:20]) if named else f"no header; columns are numbered 0 to {len(names) - 1}"
            )
            raise BadInput(f"{source}: no column '{name}' ({known})", column=name)
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise BadInput(f"{source}: two columns are named '{twice}'", column=twice)
    left_out = {*options.ignore, *beside_features(options)}
    features = [name for name in options.columns or names if name not in left_out]
    if not features:
        raise BadInput(f"{source}: no feature columns are left")
    return features, options.label_column


def raise_first_culprit(
    data: bytes, names: list[str], has_header: bool, features: set[str], source: str
) -> None:
    """Raise for the first row of another width, or with a cell that is neither a number nor missing."""
    for row, record in enumerate(_filled_records(data, has_header, source)):
        if len(record) != len(names):
            expected = f"the {'header' if has_header else 'first row'} has {len(names)}"
            raise BadInput(f"{source}: row {row} has {len(record)} cells, {expected}", row=row)
        for i, (name, cell) in enumerate(zip(names, record, strict=True)):
            # Python takes 1_000 and +1, Arrow does not.
            if name in features and (not _is_number(cell) or "_" in cell or "+" in cell.strip()[:1]):
                where = f"column '{name}'" if has_header else f"column {i}"
                message = f"{source}: row {row}, {where}: {clip_text(cell)} is not a number"
                raise BadInput(message, row=row, column=name if has_header else i)


def _records(data: bytes) -> Iterator[list[str]]:
    return csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=""))


def _filled_records(data: bytes, has_header: bool, source: str) -> Iterator[list[str]]:
    """The rows that are not blank, one at a time: a file has room in memory, its cells as Python objects have not."""
    try:
        yield from itertools.islice(filter(None, _records(data)), int(has_header), None)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{source}: not a readable CSV file: {_line(error)}") from None


def finish(
    arrow: pa.Table,
    features: list[str],
    label: str | None,
    shown: Sequence[str] | None,
    source: str,
    options: ReadOptions,
) -> Table:
    if arrow.num_rows == 0:
        raise BadInput(f"{source}: no rows")
    values = np.empty((arrow.num_rows, len(features)))
    for i, name in enumerate(features):
        values[:, i] = number_column(arrow[name], name, source)
    labels = None if label is None else labels_of(arrow[label], source)
    return make_table(
        values,
        source,
        columns=features if shown is not None else None,
        labels=labels,
        groups=groups_of(arrow, options),
        allow_missing=options.allow_missing,
    )


def number_column(column: pa.ChunkedArray, name: str, source: str) -> np.ndarray:
    """One column as float64, nulls as NaN."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if not (is_number or pa.types.is_boolean(kind)):
        rows = (row for row, cell in enumerate(column.to_pylist()) if cell is not None)
        row = next(rows, None)
        example = "" if row is None else f", e.g. row {row}: {clip_text(column[row].as_py())}"
        raise BadInput(f"{source}: column '{name}' holds {kind}, not numbers{example}", row=row, column=name)
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    # safe=False: integers above 2^53 are rounded like any other float.
    return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def groups_of(arrow: pa.Table, options: ReadOptions) -> list[Any] | None:
    return None if options.group is None else arrow[options.group].to_pylist()


def labels_of(column: pa.ChunkedArray, source: str) -> np.ndarray:
    """Labels as whole numbers where every one is written as one, else as they stand."""
    cells = column.to_pylist()
    if all(isinstance(cell, str) and cell.removeprefix("-").isdecimal() for cell in cells):
        cells = [int(cell) for cell in cells]
    return tidy_labels(cells, len(cells), source)


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
