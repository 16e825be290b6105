"""A table with a column of PNG and JPEG bytes, for models of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ebm.data.image_column import _bytes, _bytes_type
from ebm.data.streams.arrow_source import ArrowFileSource, ArrowStreamSource
from ebm.data.streams.image_decoder import ImageDecoder
from ebm.data.streams.parquet_source import ParquetSource
from ebm.data.streams.parts import PartsSource
from ebm.data.streams.protocol import Mark
from ebm.data.streams.source import Piece, Reader, StreamSource
from ebm.errors import BadInput

AT_ONCE = 64  # pictures decoded together
Tables = ParquetSource | ArrowFileSource | ArrowStreamSource | PartsSource


def image_column_of(schema: pa.Schema, wanted: str | None, name: str) -> str | None:
    """The column that holds images: `wanted`, else the only one that can; None where there is none.

    Raises:
        BadInput: no such column, or several.
    """
    able = [field.name for field in schema if _bytes_type(field.type)]
    if wanted is not None and wanted not in able:
        raise BadInput(
            f"{name}: no column of image bytes is '{wanted}'; such are: {', '.join(able[:20]) or 'none'}"
        )
    if wanted is None and len(able) > 1:
        raise BadInput(f"{name}: say which column holds the images (image_column): {', '.join(able[:20])}")
    return wanted or next(iter(able), None)


class ImageCells(StreamSource):
    """Values from one column of `tables`; the others stay a table, or None where there are none.

    A picture that is missing or damaged is a bad row; the other cells of its row stay.
    """

    kind = "image"

    def __init__(self, tables: Tables, column: str, schema: Mapping[str, Any]):
        self.tables, self.column, self.decoder = tables, column, ImageDecoder(schema)
        others = [name for name in tables.columns or () if name != column]
        super().__init__(
            tables.place, n_rows=tables.n_rows, columns=others or None, random_access=tables.random_access
        )
        self.kind = tables.kind

    def reader(self, start: Mark, rows: int) -> Reader:
        return _CellReader(self, self.tables.reader(start, min(rows, AT_ONCE)))

    def identity(self) -> dict[str, Any]:
        return self.tables.identity()


class _CellReader(Reader):
    def __init__(self, source: ImageCells, inner: Reader):
        self.source, self.inner, self.mark = source, inner, inner.mark

    def take(self, n: int) -> Piece | None:
        source, row = self.source, self.inner.mark.row
        piece = self.inner.take(min(n, AT_ONCE))
        if piece is None or piece.table is None:
            return None
        self.mark = self.inner.mark
        found: list[tuple[str, bytes | BadInput]] = []
        for i, cell in enumerate(piece.table[source.column]):
            label = f"row {row + i}, column '{source.column}'"
            try:
                found.append((label, _bytes(cell, label)))
            except BadInput as error:
                found.append((label, error))
        values, bad = source.decoder.rows(found, row, source.column)
        rest = piece.table.drop_columns([source.column]) if source.columns else None
        return Piece(piece.n, rest, values, bad)

    def close(self) -> None:
        self.inner.close()
