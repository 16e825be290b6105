"""CSV and Parquet with columns of any type, for models that take more than numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from ebm.data.options import Cells, ReadOptions
from ebm.data.table import Table, tidy_groups
from ebm.data.tabular import (
    beside_features,
    choose_columns,
    csv_bytes,
    finish,
    groups_of,
    header_of,
    labels_of,
    parquet_columns,
    parse_cells,
    raise_first_culprit,
)
from ebm.errors import BadInput
from ebm.preprocessing.columns import parse_text, plain
from ebm.preprocessing.columns.numeric import is_number
from ebm.preprocessing.matching import naming

# What pandas and Arrow take for a null. "none" is not among them: it may be a level like any other.
NULLS = ["", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "null", "NULL", "None", "#N/A"]


def read_mixed_csv(path: Path, options: ReadOptions, cells: Cells) -> Table:
    """As `read_csv`; columns are numbers, booleans, dates, times or text, whichever all their cells are.

    Args:
        cells: "mixed" to find the types, or the types to expect.
    """
    data, source = csv_bytes(path, options), path.name
    names, has_header = header_of(data, source, options.header)
    shown = names if has_header else None
    features, label = choose_columns(names, has_header, source, options)
    types = None if isinstance(cells, str) else dict.fromkeys(features, pa.string())
    try:
        arrow = parse_cells(
            data,
            names,
            has_header,
            include_columns=features,
            column_types=types,
            null_values=NULLS,
            strings_can_be_null=True,
        )
        beside = beside_features(options)
        if beside:  # read apart: labels stand as written, nulls or not
            written = parse_cells(
                data,
                names,
                has_header,
                include_columns=beside,
                column_types=dict.fromkeys(beside, pa.string()),
                strings_can_be_null=False,
            )
            for name in beside:
                arrow = arrow.append_column(name, written[name])
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise_first_culprit(data, names, has_header, set(), source)
        line = " ".join(str(error).split())[:200]
        raise BadInput(f"{source}: not a readable CSV file: {line}") from None
    if not isinstance(cells, str):
        for j, name in enumerate(features):
            with naming(j, features if has_header else None, source=source):
                typed = parse_text(plain(arrow[name]), cells[name])
            arrow = arrow.set_column(arrow.column_names.index(name), name, typed)
    return _finish(arrow, features, label, shown, source, options, cells)


def read_mixed_parquet(path: Path, options: ReadOptions, cells: Cells) -> Table:
    """As `read_parquet`, with the types of the file."""
    arrow, features, label, names = parquet_columns(path, options)
    return _finish(arrow, features, label, names, path.name, options, cells)


def _finish(
    arrow: pa.Table,
    features: list[str],
    label: str | None,
    shown: list[str] | None,
    source: str,
    options: ReadOptions,
    cells: Cells,
) -> Table:
    if arrow.num_rows == 0:
        raise BadInput(f"{source}: no rows")
    values = arrow.select(features)
    if cells == "mixed" and all(_complete_numbers(column) for column in values.columns):
        return finish(arrow, features, label, shown, source, options)
    labels = None if label is None else labels_of(arrow[label], source)
    groups = groups_of(arrow, options)
    if groups is not None:
        groups = tidy_groups(groups, len(values), source)
    return Table(values, features if shown is not None else None, labels, source, groups)


def _complete_numbers(column: pa.ChunkedArray) -> bool:
    if not is_number(column.type) or pa.types.is_duration(column.type) or column.null_count:
        return False
    return not (pa.types.is_floating(column.type) and np.isnan(column.to_numpy()).any())
