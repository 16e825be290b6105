"""The rows that could not be used: their number in the file, the column at fault where one is, and why, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ebm.data.streams import Bad
from ebm.errors import BadInput

HEAD = b"row,column,reason\n"


def rejects_name(index: int) -> str:
    return f"rejects-{index:06d}.csv"


def reject_lines(bad: Sequence[Bad]) -> bytes:
    """Without a header. Rows count from 0, as everywhere."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for one in bad:
        writer.writerow([one.row, "" if one.column is None else one.column, one.reason])
    return text.getvalue().encode("utf-8", "replace")


def as_error(bad: Bad, source: str) -> BadInput:
    """The error of a run that is to fail at the first such row."""
    text = bad.reason if bad.reason.startswith(f"row {bad.row}") else f"row {bad.row}, {bad.reason}"
    return BadInput(f"{source}: {text}", row=bad.row, column=bad.column)
