"""What is done to the blocks of a batch run: score, denoise, generate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from ebm.data.streams import START, Bad, Block, Mark


@dataclass(frozen=True, eq=False)
class Part:
    """The output for one block, with as many rows.

    table: its rows; or values: (n, ...), where the output is npy.
    bad: the rows that could not be used, ascending: null (NaN) in what is new.
    anomalies: among these rows, where that can be told from them alone.
    tally: JSON, what the summary needs to know of them.
    """

    table: pa.Table | None = None
    values: np.ndarray | None = None
    bad: tuple[Bad, ...] = ()
    anomalies: int | None = None
    tally: dict[str, Any] | None = None


class Work(Protocol):
    """settles: whether `settle` has to see the parts again, once all are there.
    numbers_per_chunk: as many as take a minute at most, for a run is stopped and taken up by the chunk."""

    settles: bool
    numbers_per_chunk: int

    def part(self, block: Block, index: int) -> Part:
        """The output for the block of this number. The same block gives the same part, in whatever order, here or in
        another process.

        Raises:
            BadInput: what is wrong is not of single rows.
        """
        ...

    def summary(self, tallies: Iterable[dict[str, Any]], rows: int) -> dict[str, Any]:
        """What all parts say together, from their tallies in the order of the file. Called before `settle`."""
        ...

    def settle(self, part: Part) -> Part:
        """A part as it is published, where that depends on all of them. Only `table` or `values` are given and used."""
        ...


class Counted:
    """A `Source` of nothing but row numbers, for rows that are made and not read."""

    text, random_access = False, True

    def __init__(self, n_rows: int):
        self.name, self.total = "samples", n_rows
        self.n_rows: int | None = n_rows
        self.columns: list[str] | None = None

    def identity(self) -> dict[str, Any]:
        return {"rows": self.total}

    def marks(self, rows: int) -> Iterator[Mark]:
        return (Mark(row) for row in range(0, self.total, rows))

    def blocks(self, rows: int, start: Mark = START) -> Iterator[Block]:
        for row in range(start.row, self.total, rows):
            yield Block(Mark(row), Mark(min(row + rows, self.total)))

    def close(self) -> None:
        """Nothing is open."""
