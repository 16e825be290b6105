"""Arrow tables as CSV. Arrow's own writer quotes every text cell; this one only those that need it (RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute

from ebm.errors import BadInput

pc: Any = pyarrow.compute  # its functions are made at run time
BATCH = 65_536  # rows turned into text at a time


def csv_header(names: list[str]) -> bytes:
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(names)
    return header.getvalue().encode()


def csv_lines(table: pa.Table) -> Iterator[bytes]:
    """The rows, without a header, some at a time; nulls are empty.

    Raises:
        BadInput: a column that is not one value a row; names it.
    """
    for batch in table.to_batches(max_chunksize=BATCH):
        cells = [_as_text(batch.column(i), name) for i, name in enumerate(table.column_names)]
        if len(cells) == 1:  # an empty line would be no row
            cells = [pc.if_else(pc.equal(cells[0], ""), '""', cells[0])]
        lines = pc.binary_join_element_wise(*cells, ",")
        if len(lines):
            yield ("\n".join(lines.to_pylist()) + "\n").encode()


def _as_text(column: pa.Array, name: str) -> pa.Array:
    try:
        text = pc.fill_null(pc.cast(column, pa.string()), "")
    except pa.ArrowException:
        raise BadInput(
            f"column '{name}' of type {column.type} cannot be written as CSV; use .parquet"
        ) from None
    if pa.types.is_primitive(column.type):
        return text
    quoted = pc.replace_substring(text, '"', '""')
    quoted = pc.binary_join_element_wise('"', quoted, '"', "")
    return pc.if_else(pc.match_substring_regex(text, '[",\r\n]'), quoted, text)
