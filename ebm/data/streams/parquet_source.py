"""Parquet: row groups that lie before a mark are not read, and of one that is, only some rows are held at a time."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from ebm.data.streams.place import Place
from ebm.data.streams.protocol import Mark
from ebm.data.streams.source import Piece, Reader, StreamSource
from ebm.errors import BadInput

BATCH_BYTES = 1 << 25  # decoded at a time, by what the file says of itself
MAX_BATCH_ROWS = 1 << 16
BUFFERS = 1 << 26  # of all columns together; each is read through a buffer of its own
URL_BUFFERS = 1 << 28  # fewer and larger requests


class ParquetSource(StreamSource):
    """One Parquet file; all its columns, as they are stored, those that pandas keeps an index in, too.

    Raises:
        BadInput: no Parquet file, or damaged.
    """

    kind = "Parquet"

    def __init__(self, place: Place):
        super().__init__(place)
        with self.named(), _Opened(place) as opened:
            metadata, self.schema = opened.file.metadata, opened.file.schema_arrow
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
            counts = [group.num_rows for group in groups]
            self.starts = [0, *accumulate(counts)]
            if min(counts, default=0) < 0 or self.starts[-1] != metadata.num_rows:
                raise BadInput(f"{self.name}: not a readable Parquet file: its numbers of rows disagree")
            weight = sum(max(group.total_byte_size, 0) for group in groups)
            self.n_rows, self.columns = metadata.num_rows, list(self.schema.names)
        self.batch_rows = min(max(BATCH_BYTES * max(self.n_rows, 1) // max(weight, 1), 1), MAX_BATCH_ROWS)

    def reader(self, start: Mark, rows: int) -> Reader:
        return _ParquetReader(self, start.row, min(rows, self.batch_rows))


class _Opened:
    """An open file and the bytes below it, closed together."""

    def __init__(self, place: Place, columns: int = 1):
        total, most = (BUFFERS, 1 << 20) if place.path is not None else (URL_BUFFERS, 1 << 23)
        self.bytes = place.open() if place.path is None else pa.OSFile(str(place.path))
        try:
            self.file = pq.ParquetFile(
                self.bytes,
                pre_buffer=False,
                buffer_size=min(max(total // max(columns, 1), 1 << 16), most),
            )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with suppress(pa.ArrowException, OSError):
            self.bytes.close()

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _ParquetReader(Reader):
    def __init__(self, source: ParquetSource, row: int, batch_rows: int):
        self.source, self.mark = source, Mark(row)
        first = bisect_right(source.starts, row) - 1
        self.pending: pa.RecordBatch | None = None
        self.ahead = row - source.starts[first]  # rows of its group that lie before
        self.opened = _Opened(source.place, len(source.schema.names))
        groups = list(range(first, len(source.starts) - 1))
        # An empty list would mean all of them.
        self.batches = self.opened.file.iter_batches(batch_rows, row_groups=groups) if groups else iter(())

    def take(self, n: int) -> Piece | None:
        batch = self.pending
        while batch is None or batch.num_rows == 0:
            batch = next(self.batches, None)
            if batch is None:
                if self.mark.row != self.source.n_rows:
                    raise BadInput(
                        f"{self.source.name}: row {self.mark.row}: the rows end before the file says so"
                    )
                return None
            passed = min(self.ahead, batch.num_rows)
            self.ahead -= passed
            batch = batch.slice(passed)
        piece, self.pending = batch.slice(0, n), batch.slice(n)
        self.mark = Mark(self.mark.row + piece.num_rows)
        return Piece(piece.num_rows, pa.Table.from_batches([piece]))

    def close(self) -> None:
        self.batches, self.pending = iter(()), None
        self.opened.close()
