"""Formats that are small by nature and are read whole: idx files."""

from __future__ import annotations

import numpy as np

from ebm.data.idx import read_idx
from ebm.data.options import ReadOptions
from ebm.data.streams.place import Place
from ebm.data.streams.protocol import Mark
from ebm.data.streams.source import Piece, Reader, StreamSource
from ebm.errors import BadInput


class IdxSource(StreamSource):
    """An idx or idx.gz file on this machine, in memory.

    Raises:
        BadInput: a URL, or as `ebm.data.read`.
    """

    kind = "idx"

    def __init__(self, place: Place):
        super().__init__(place)
        if place.path is None:
            raise BadInput(f"{place}: idx files are read from this machine only")
        if not place.path.is_file():
            raise BadInput(f"{place}: no such file")
        with self.named():
            values = read_idx(place.path, ReadOptions()).values
        assert isinstance(values, np.ndarray)
        self.values, self.n_rows = values, len(values)

    def reader(self, start: Mark, rows: int) -> Reader:
        return _ArrayReader(self.values, start.row)


class _ArrayReader(Reader):
    def __init__(self, values: np.ndarray, row: int):
        self.values, self.mark = values, Mark(row)

    def take(self, n: int) -> Piece | None:
        part = self.values[self.mark.row : self.mark.row + n]
        self.mark = Mark(self.mark.row + len(part))
        return Piece(len(part), values=part) if len(part) else None
