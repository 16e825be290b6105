"""CSV, plain or gzipped: every cell stays the text it is, so that what is passed through is written as it was read."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from ebm.data.streams.csv_records import BYTES, Ends, Records, record_ends
from ebm.data.streams.place import Place, one_line
from ebm.data.streams.protocol import Bad, Mark
from ebm.data.streams.source import Piece, Reader, StreamSource
from ebm.data.tabular import header_of, parse_cells
from ebm.errors import BadInput

BOM = b"\xef\xbb\xbf"
MAX_HEADER = 1 << 22  # names are read as Python objects: let there not be millions


class CsvSource(StreamSource):
    """UTF-8, comma-separated. Columns are text, named by the first line unless all its cells are numbers; then by their
    numbers, and `columns` is None.

    A row with another number of cells is bad, and null in all columns. Offsets are bytes of the text, uncompressed.

    Args:
        header: whether the first line holds names; None: unless all its cells are numbers.

    Raises:
        BadInput: unreadable, empty, or doubtful names of columns.
    """

    kind = "CSV"
    text = True

    def __init__(self, place: Place, header: bool | None = None):
        self.gzipped = place.name.lower().endswith(".gz")
        super().__init__(place, random_access=place.path is not None and not self.gzipped)
        with self.named(), self._opened(0) as file:
            first = _first_record(file, self.name)
            self.names, self.has_header = header_of(first, self.name, header)
        # Where the data begin: behind the header, or behind the mark that says that this is UTF-8.
        self.begin = len(first) if self.has_header else len(BOM) * first.startswith(BOM)
        self.columns = self.names if self.has_header else None

    def reader(self, start: Mark, rows: int) -> Reader:
        return _CsvReader(self, start)

    def _opened(self, offset: int) -> Any:
        file: Any = self.place.open()
        if self.gzipped:
            file = pa.CompressedInputStream(file, "gzip")
        with ExitStack() as stack:
            stack.callback(file.close)
            if not self.gzipped and file.seekable():
                file.seek(offset)
                offset = 0
            while offset > 0:
                passed = len(file.read(min(offset, BYTES)))
                if not passed:
                    raise BadInput(f"{self.name}: ends before the byte at which reading is to go on")
                offset -= passed
            stack.pop_all()
        return file

    def parse(self, text: bytes, ends: Ends, row: int) -> Piece:
        """The rows of a text that begins at `row`."""
        n, bad = len(ends.starts), {}
        convert = {
            "column_types": dict.fromkeys(self.names, pa.string()),
            "strings_can_be_null": False,
        }

        def on_ragged(found: pacsv.InvalidRow) -> str:
            bad[found.number - 1] = found.actual_columns  # Arrow counts from 1
            return "skip"

        try:
            try:
                table = parse_cells(text, self.names, False, **convert)
            except pa.ArrowInvalid:
                # Most likely a row of another width. Which one it is, Arrow tells only in one thread, and not of what
                # is no text.
                text.decode()
                table = parse_cells(text, self.names, False, on_ragged=on_ragged, **convert)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise self._culprit(text, ends, row, error) from None
        if table.num_rows + len(bad) != n:
            raise BadInput(
                f"{self.name}: rows {row} to {row + n - 1}: quotes that can be read in two ways", row=row
            )
        if bad:
            good = np.setdiff1d(np.arange(n), list(bad))
            index = np.full(n, -1)
            index[good] = np.arange(len(good))
            table = table.take(pa.array(index, mask=index < 0))
        return Piece(n, table, bad=tuple(self._ragged(row + i, cells) for i, cells in sorted(bad.items())))

    def _ragged(self, row: int, cells: int) -> Bad:
        expected = f"the {'header' if self.has_header else 'first row'} has {len(self.names)}"
        return Bad(row, f"row {row} has {cells} cell{'s' * (cells != 1)}, {expected}")

    def _culprit(self, text: bytes, ends: Ends, row: int, error: Exception) -> BadInput:
        try:
            text.decode()
        except UnicodeDecodeError as fault:
            at = row + int(np.searchsorted(ends.ends, fault.start, side="right"))
            return BadInput(f"{self.name}: row {at}: not a readable CSV file: it is not UTF-8", row=at)
        return BadInput(f"{self.name}: not a readable CSV file, near row {row}: {one_line(error)}", row=row)


class _CsvReader(Reader):
    def __init__(self, source: CsvSource, start: Mark):
        self.source, self.mark = source, start
        offset = start.offset or source.begin
        self.file = source._opened(offset)
        self.records = Records(self.file, start.row, offset, source.name)

    def take(self, n: int) -> Piece | None:
        row = self.records.row
        found = self.records.take(n)
        if found is None:
            return None
        self.mark = Mark(self.records.row, self.records.offset)
        return self.source.parse(*found, row)

    def skip(self, n: int) -> int:
        found = self.records.take(n)
        if found is None:
            return 0
        self.mark = Mark(self.records.row, self.records.offset)
        return len(found[1].starts)

    def close(self) -> None:
        self.file.close()


def _first_record(file: Any, name: str) -> bytes:
    """The first line with its end, or what quotes make of it; b"" of an empty file."""
    text, last = b"", False
    while not last:
        read = file.read(1 << 16)
        while read.endswith(b"\r") and (more := file.read(1)):
            read += more
        last, text = not read, text + read
        skipped = len(BOM) * text.startswith(BOM)
        if text[skipped : skipped + 1] in (b"\r", b"\n"):
            return text[: skipped + 1]
        ends = record_ends(text[skipped:], last=last).ends
        if len(ends):
            return text[: skipped + int(ends[0])]
        if len(text) > MAX_HEADER:
            raise BadInput(f"{name}: the first line is longer than {MAX_HEADER >> 20} MiB")
    return text
