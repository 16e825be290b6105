"""Arrow IPC: files, whose record batches are found by number, and streams, which are read from the first on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pyarrow as pa

from ebm.data.streams.place import Place
from ebm.data.streams.protocol import Mark
from ebm.data.streams.source import Piece, Reader, StreamSource
from ebm.errors import BadInput

MAGIC = b"ARROW1"


def open_arrow(place: Place) -> ArrowFileSource | ArrowStreamSource:
    """An Arrow file (as Feather 2 is) or stream, by its first bytes.

    Raises:
        BadInput: neither, or damaged.
    """
    with place.open() as file:
        start = file.read(len(MAGIC))
    if start[:4] == b"FEA1":
        raise BadInput(f"{place.name}: Feather of version 1 is not supported; write version 2")
    return ArrowFileSource(place) if start == MAGIC else ArrowStreamSource(place)


class ArrowFileSource(StreamSource):
    """Memory mapped where it lies on this machine. One record batch is held at a time, if its file is compressed."""

    kind = "Arrow"

    def __init__(self, place: Place):
        super().__init__(place)
        with self.named(), _opened(place) as file:
            self.schema = pa.ipc.open_file(file).schema
            # The row counts stand in the batches; of these one column, the cheapest, is enough.
            options = pa.ipc.IpcReadOptions(included_fields=[_cheapest(self.schema)])
            reader = pa.ipc.open_file(file, options=options if len(self.schema) else None)
            counts = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
            self.starts = [0, *accumulate(counts)]
            self.n_rows, self.columns = self.starts[-1], list(self.schema.names)

    def reader(self, start: Mark, rows: int) -> Reader:
        return _ArrowReader(self, start, rows)

    def batches(self, file: Any, row: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """From the one that holds `row` on, with the row each begins at."""
        reader = pa.ipc.open_file(file)
        for i in range(bisect_right(self.starts, row) - 1, reader.num_record_batches):
            yield self.starts[i], reader.get_batch(i)


class ArrowStreamSource(StreamSource):
    """A stream: how many rows it has is seen at its end, and a mark is reached by reading all that lies before it.

    Offsets count the rows of the stream.
    """

    kind = "Arrow"

    def __init__(self, place: Place):
        super().__init__(place, random_access=False)
        with self.named(), _opened(place) as file:
            self.schema = pa.ipc.open_stream(file).schema
            self.columns = list(self.schema.names)

    def reader(self, start: Mark, rows: int) -> Reader:
        return _ArrowReader(self, start, rows)

    def batches(self, file: Any, row: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        at = 0
        for batch in pa.ipc.open_stream(file):
            if at + batch.num_rows > row:
                yield at, batch
            at += batch.num_rows


class _ArrowReader(Reader):
    def __init__(self, source: ArrowFileSource | ArrowStreamSource, start: Mark, rows: int):
        self.source, self.mark, self.rows = source, start, rows
        self.at = start.row if source.n_rows is not None else start.offset
        self.file = _opened(source.place)
        self.batches = source.batches(self.file, self.at)
        self.pending: pa.RecordBatch | None = None

    def take(self, n: int) -> Piece | None:
        while self.pending is None or self.pending.num_rows == 0:
            first, batch = next(self.batches, (0, None))
            if batch is None:
                if self.source.n_rows not in (None, self.mark.row):
                    raise BadInput(
                        f"{self.source.name}: row {self.mark.row}: the rows end before the file says so"
                    )
                return None
            batch.validate(full=True)  # offsets that point elsewhere must not be followed
            self.pending = batch.slice(self.at - first)
        piece, self.pending = self.pending.slice(0, n), self.pending.slice(n)
        self.at += piece.num_rows
        known = self.source.n_rows is not None
        self.mark = Mark(self.mark.row + piece.num_rows, 0 if known else self.at)
        return Piece(piece.num_rows, pa.Table.from_batches([piece]))

    def close(self) -> None:
        self.batches, self.pending = iter(()), None
        self.file.close()


def _opened(place: Place) -> Any:
    return place.open() if place.path is None else pa.memory_map(str(place.path))


def _cheapest(schema: pa.Schema) -> int:
    def width(field: pa.Field) -> int:
        try:
            return int(field.type.bit_width)
        except ValueError:  # not of a fixed width
            return 1 << 20

    return min(range(len(schema)), key=lambda i: width(schema.field(i)), default=0)
