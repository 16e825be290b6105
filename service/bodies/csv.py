"""CSV bodies: every cell is text at first, so that the one at fault can be named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from ebm.data.mixed import NULLS as MIXED_NULLS
from ebm.data.tabular import NULLS, header_of, parse_cells
from ebm.detector import Detector
from ebm.errors import BadInput
from ebm.preprocessing.columns import parse_text, plain
from ebm.preprocessing.matching import naming
from service.bodies.limits import Limits
from service.bodies.tables import check_table, choose, line
from service.bodies.takes import Takes, takes

SOURCE = "the CSV body"
MAX_HEADER = 2**20


@dataclass
class Lines:
    """Cells as text, and the rows (by their position among all) that were left out for their number of cells."""

    table: pa.Table
    ragged: dict[int, str] = field(default_factory=dict)


def read_csv(
    body: bytes,
    wanted: Takes,
    limits: Limits,
    *,
    header: str | None = None,
    ignore_unknown: bool = False,
    skip_ragged: bool = False,
) -> Lines:
    """The columns that the model takes, in its order.

    Args:
        header: "present" or "absent" (RFC 4180, section 3); None: "absent" where the first line holds
            numbers only.
        skip_ragged: leave out rows with another number of cells than the header, rather than refuse the body.

    Raises:
        BadInput: no CSV, ragged, or columns that do not fit. Problem: 422 over a limit.
    """
    if header not in (None, "present", "absent"):
        raise BadInput(f"{SOURCE}: header must be 'present' or 'absent'")
    _check_first_line(body, wanted)
    given, has_header = header_of(body, SOURCE, None if header is None else header == "present")
    names = choose(given, wanted, named=has_header, ignore_unknown=ignore_unknown, source=SOURCE)
    ragged: dict[int, str] = {}

    def on_ragged(row: pacsv.InvalidRow) -> str:
        # Arrow counts from 1, the header included.
        number = row.number - 1 - has_header
        ragged[number] = f"row {number} has {row.actual_columns} cells, not {row.expected_columns}"
        return "skip" if skip_ragged and len(ragged) <= limits.rows else "error"

    try:
        table = parse_cells(
            body,
            given,
            has_header,
            on_ragged=on_ragged,
            include_columns=names,
            column_types=dict.fromkeys(names, pa.string()),
            null_values=NULLS if wanted.numbers else MIXED_NULLS,
            strings_can_be_null=True,
        )
    except (pa.ArrowException, UnicodeDecodeError, MemoryError) as error:
        if ragged and not skip_ragged:
            row = next(iter(ragged))
            raise BadInput(f"{SOURCE}: {ragged[row]}", row=row) from None
        raise BadInput(f"{SOURCE}: not a readable CSV file: {line(error)}") from None
    limits.check_rows(table.num_rows + len(ragged))
    if not table.num_rows and not ragged:
        raise BadInput(f"{SOURCE}: no rows")
    return Lines(table, ragged)


def checker(detector: Detector, *, nulls: bool = False) -> Callable[[pa.Table], np.ndarray | pa.Table]:
    """What turns cells of text into the rows that the model scores, or raises BadInput, which names row and column."""
    wanted = takes(detector)

    def check(table: pa.Table) -> np.ndarray | pa.Table:
        names = wanted.columns
        columns = []
        for j, column in enumerate(table.columns):
            kind = "numeric" if wanted.numbers else list(wanted.kinds.values())[j]
            with naming(j, names):
                columns.append(parse_text(plain(column), kind))
        return check_table(pa.table(columns, names=table.column_names), detector, SOURCE, nulls=nulls)

    return check


def _check_first_line(body: bytes, wanted: Takes) -> None:
    """The names are read as Python objects, so let there not be millions."""
    start = quotes = 0
    while True:
        end = body.find(b"\n", start) + 1 or len(body)
        quotes += body.count(b'"', start, end)
        if quotes % 2 == 0 or end == len(body) or end > MAX_HEADER:  # a quoted name may hold line breaks
            break
        start = end
    columns = body.count(b",", 0, end) + 1
    if columns > 2 * wanted.most_columns:
        raise BadInput(f"{SOURCE}: {columns} columns, the model takes {wanted.width}")
