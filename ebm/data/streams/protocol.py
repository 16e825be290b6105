"""What every source of rows does: hand out blocks in order, and go on from where one ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa


class Mark(NamedTuple):
    """A place to start reading at. `row` counts the rows of the file (0-based, header not counted); `offset` is the
    source's own, as bytes of a text file."""

    row: int
    offset: int = 0


START = Mark(0, 0)


class Bad(NamedTuple):
    """A row that cannot be read: its number in the file, why, and the column at fault, where one is."""

    row: int
    reason: str
    column: str | int | None = None


@dataclass(frozen=True, eq=False)
class Block:
    """Neighbouring rows of a file.

    start, end: where the block begins, and where the next one does; end.row - start.row rows, the bad ones included.
    table: the file's own columns, one row for each row of the file; those of a bad row are null. None for arrays.
    values: arrays and images: (n, ...), one for each row of the file; that of a bad row is arbitrary. None for tables.
    bad: the rows that could not be read, ascending.
    """

    start: Mark
    end: Mark
    table: pa.Table | None = None
    values: np.ndarray | None = None
    bad: tuple[Bad, ...] = ()

    def __len__(self) -> int:
        return self.end.row - self.start.row


class Source(Protocol):
    """An open file, folder or URL. Blocks depend on nothing but the source, `rows` and where reading starts."""

    name: str  # for messages
    n_rows: int | None  # None where only reading tells
    columns: (
        list[str] | None
    )  # of its tables, in order; None for arrays and images, and tables without a header
    random_access: bool  # whether `marks` is cheap: no reading of all that lies before

    def identity(self) -> dict[str, Any]:
        """JSON facts that change when the content does: place, size, time of change or ETag."""
        ...

    def marks(self, rows: int) -> Iterator[Mark]:
        """Where each block of `rows` rows begins, from the first."""
        ...

    def blocks(self, rows: int, start: Mark = START) -> Iterator[Block]:
        """Blocks of `rows` rows, the last one shorter, from `start` to the end, in constant memory.

        Raises:
            BadInput: what is wrong is not of single rows: the file is damaged, or is not what its name says.
        """
        ...

    def close(self) -> None: ...
