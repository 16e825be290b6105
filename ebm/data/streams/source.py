"""What all sources share: pieces of rows, as a format happens to give them, become blocks of the size wanted."""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ebm.data.streams.place import Place, one_line
from ebm.data.streams.protocol import START, Bad, Block, Mark
from ebm.errors import BadInput, EBMError

# What libraries raise for files that are cut off, altered or encrypted.
DAMAGE = (
    pa.ArrowException,
    OSError,
    EOFError,
    ValueError,
    MemoryError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
)
MAX_BLOCK_BYTES = 1 << 31  # of one block: what a row may weigh is not known before it is read


class Piece(NamedTuple):
    """Some rows, as `Block`."""

    n: int
    table: pa.Table | None = None
    values: np.ndarray | None = None
    bad: tuple[Bad, ...] = ()


class Reader(ABC):
    """Reads on from where it is; `mark` is where the next row begins.

    What Arrow, zlib and the operating system raise may come through; `StreamSource` says it with the file's name.
    """

    mark: Mark

    @abstractmethod
    def take(self, n: int) -> Piece | None:
        """The next rows: at least one, at most n (>= 1). None at the end."""

    def skip(self, n: int) -> int:
        """As `take`, for who wants the marks only: how many rows were passed, 0 at the end."""
        piece = self.take(n)
        return 0 if piece is None else piece.n

    def close(self) -> None:  # noqa: B027
        """Give back what is open."""


class StreamSource(ABC):
    """A `Source` but for `reader`.

    Where n_rows is known, rows are found by their number, and offsets are 0. Else they are found by the offset alone,
    and the row is only what they are called: a part of a folder is told to count from where the one before it ended.
    """

    kind: str  # for messages: "a readable ... file"
    text: bool = (
        False  # whether all cells are text, as in CSV, so that what they mean is still to be found out
    )

    def __init__(
        self,
        place: Place,
        *,
        n_rows: int | None = None,
        columns: list[str] | None = None,
        random_access: bool = True,
    ):
        self.place, self.name = place, place.name
        self.n_rows, self.columns, self.random_access = n_rows, columns, random_access

    @abstractmethod
    def reader(self, start: Mark, rows: int) -> Reader:
        """Reads from `start`; `rows` is how many will be asked for at a time."""

    def identity(self) -> dict[str, Any]:
        return self.place.identity()

    def close(self) -> None:  # noqa: B027
        """Nothing: files are open only while they are read."""

    def marks(self, rows: int) -> Iterator[Mark]:
        if self.n_rows is not None:
            yield from (Mark(row) for row in range(0, self.n_rows, rows))
            return
        with self._reading(START, rows) as reader:
            while True:
                mark, passed = reader.mark, 0
                with self.named():
                    while passed < rows and (n := reader.skip(rows - passed)):
                        passed += n
                if passed:
                    yield mark
                if passed < rows:
                    return

    def blocks(self, rows: int, start: Mark = START) -> Iterator[Block]:
        with self._reading(start, rows) as reader:
            while True:
                mark, pieces, left, size = reader.mark, [], rows, 0
                with self.named():
                    while left and (piece := reader.take(left)) is not None:
                        pieces.append(piece)
                        left -= piece.n
                        size += _bytes_of(piece)
                        if size > MAX_BLOCK_BYTES:
                            raise BadInput(
                                f"{self.name}: rows {mark.row} to {mark.row + rows - left - 1} take over "
                                f"{MAX_BLOCK_BYTES >> 30} GiB; read fewer rows at a time"
                            )
                    block = join(mark, reader.mark, pieces) if pieces else None
                if block is not None:
                    yield block
                if left:
                    return
                del block, pieces, piece  # else they would live on while the next are read

    @contextmanager
    def _reading(self, start: Mark, rows: int) -> Iterator[Reader]:
        if rows < 1:
            raise ValueError(f"blocks of {rows} rows")
        with self.named():
            reader = self.reader(start, rows)
        with closing(reader):
            yield reader

    @contextmanager
    def named(self) -> Iterator[None]:
        """What a damaged file makes Arrow and others raise, as BadInput that names it."""
        try:
            yield
        except EBMError:
            raise
        except pa.ArrowMemoryError as error:
            raise BadInput(f"{self.name}: asks for more memory than there is: {one_line(error)}") from None
        except DAMAGE as error:
            raise BadInput(f"{self.name}: not a readable {self.kind} file: {one_line(error)}") from None


def join(start: Mark, end: Mark, pieces: Sequence[Piece]) -> Block:
    """Neighbouring pieces as one block."""
    tables = [piece.table for piece in pieces if piece.table is not None]
    arrays = [piece.values for piece in pieces if piece.values is not None]
    return Block(
        start,
        end,
        pa.concat_tables(tables) if tables else None,
        None if not arrays else arrays[0] if len(arrays) == 1 else np.concatenate(arrays),
        tuple(bad for piece in pieces for bad in piece.bad),
    )


def _bytes_of(piece: Piece) -> int:
    array = 0 if piece.values is None else piece.values.nbytes
    return array if piece.table is None else array + piece.table.nbytes
