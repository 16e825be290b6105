"""A folder of files of one kind, as Spark, Dask or a batch run write them, read as one file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any

import pyarrow as pa

from ebm.data.streams.listing import Listing
from ebm.data.streams.place import Place
from ebm.data.streams.protocol import Mark
from ebm.data.streams.source import Piece, Reader, StreamSource
from ebm.errors import BadInput
from ebm.preprocessing.checks import clip_text

SHIFT = 48  # an offset holds the number of the part above this bit, the offset within below it
REQUESTS = 16  # opened at a time; what takes long is a server's answer


class PartsSource(StreamSource):
    """The rows of all parts, in the order of their names. Parts without rows are passed over.

    Columns are those of the first part; the others must have the same, by name, order and type, but that a part in
    which a column is all null need not know its type.

    Raises:
        BadInput: a part that cannot be read, or that is unlike the first; names it.
    """

    def __init__(self, listing: Listing, open_part: Callable[[Place], StreamSource]):
        self.listing = listing
        super().__init__(listing.folder)
        with ThreadPoolExecutor(1 if listing.folder.path is not None else REQUESTS) as pool:
            self.parts = list(pool.map(open_part, map(listing.place, listing.names)))
        for part, name in zip(self.parts, listing.names, strict=True):
            part.name = f"{listing.folder.name}/{name}"
        first = self.parts[0]
        self.kind, self.columns, self.text = first.kind, first.columns, first.text
        self.random_access = all(part.random_access for part in self.parts)
        counts = [part.n_rows for part in self.parts if part.n_rows is not None]
        if counts and len(counts) < len(self.parts):
            raise BadInput(f"{self.name}: holds Arrow files and Arrow streams; write all as files")
        self.starts = [0, *accumulate(counts)] if counts else None
        self.n_rows = self.starts[-1] if self.starts else None
        self.schema = self._schema()

    def identity(self) -> dict[str, Any]:
        return self.listing.identity()

    def reader(self, start: Mark, rows: int) -> Reader:
        return _PartsReader(self, start, rows)

    def _schema(self) -> pa.Schema | None:
        """Of all parts, where they are tables of types; all may hold nulls."""
        first = self.parts[0]
        fields: list[pa.Field] = []
        for part in self.parts:
            if _shape(part) != _shape(first):
                raise BadInput(f"{part.name}: {_says(part)}, {first.name}: {_says(first)}")
            schema: pa.Schema | None = getattr(part, "schema", None)
            if schema is None:
                continue
            fields = fields or [field.with_nullable(True) for field in schema]
            for i, (known, new) in enumerate(zip(fields, schema, strict=True)):
                if pa.types.is_null(known.type):
                    fields[i] = new.with_nullable(True)
                elif not pa.types.is_null(new.type) and new.type != known.type:
                    raise BadInput(
                        f"{part.name}: column '{new.name}' is {new.type}, in the parts before it {known.type}",
                        column=new.name,
                    )
        return pa.schema(fields, metadata=first.schema.metadata) if fields else None  # type: ignore[attr-defined]


def _shape(part: StreamSource) -> tuple[Any, ...]:
    """What all parts must have in common: names of columns, or the shape of a row."""
    return part.columns, getattr(part, "names", None), getattr(part, "shape", (None,))[1:]


def _says(part: StreamSource) -> str:
    columns, names, shape = _shape(part)
    if columns:
        return "columns " + clip_text(", ".join(columns), 200)
    return f"{len(names)} columns without a header" if names else f"rows of shape {shape}"


class _PartsReader(Reader):
    def __init__(self, source: PartsSource, start: Mark, rows: int):
        self.source, self.rows, self.mark = source, rows, start
        if source.starts is not None:
            self.number = bisect_right(source.starts, start.row) - 1
            inner = Mark(start.row - source.starts[min(self.number, len(source.starts) - 1)])
        else:
            self.number = start.offset >> SHIFT
            inner = Mark(start.row, start.offset & ((1 << SHIFT) - 1))
        self.inner = self._open(inner)

    def take(self, n: int) -> Piece | None:
        piece = self._next(lambda inner: inner.take(n))
        schema = self.source.schema
        if piece is None or piece.table is None or schema is None:
            return piece
        if piece.table.schema.equals(schema, check_metadata=True):
            return piece
        return piece._replace(table=piece.table.cast(schema))

    def skip(self, n: int) -> int:
        return self._next(lambda inner: inner.skip(n)) or 0

    def _next(self, act: Callable[[Reader], Any]) -> Any:
        while self.inner is not None:
            with self.source.parts[self.number].named():
                before, done = self.inner.mark.row, act(self.inner)
            if done:
                passed = self.inner.mark.row - before
                offset = (
                    0 if self.source.starts is not None else (self.number << SHIFT) + self.inner.mark.offset
                )
                self.mark = Mark(self.mark.row + passed, offset)
                return done
            self.inner.close()
            self.number += 1
            self.inner = self._open(Mark(0 if self.source.starts is not None else self.mark.row))
        return None

    def _open(self, mark: Mark) -> Reader | None:
        if self.number >= len(self.source.parts):
            return None
        part = self.source.parts[self.number]
        with part.named():
            return part.reader(mark, self.rows)

    def close(self) -> None:
        if self.inner is not None:
            self.inner.close()
