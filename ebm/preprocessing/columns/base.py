"""What every type of column can do: learn from training cells, check new ones, encode and decode them."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pydantic import Field

from ebm.config import Frozen
from ebm.preprocessing.checks import clip_text

pc: Any = pyarrow.compute  # its functions are made at run time

# Two values of a discrete feature are never encoded farther apart than 6 "standard deviations": a level that
# one training row in a thousand had would else outweigh all other columns together.
MAX_DISTANCE = 6.0


class CellError(Exception):
    """One cell that does not fit its column; whoever knows the column's place turns it into `BadInput`."""

    def __init__(self, row: int, problem: str):
        super().__init__(problem)
        self.row, self.problem = row, problem


class Column(Frozen, abc.ABC):
    """One column of a table: what was learnt of it, and its encoding.

    Every coordinate has mean 0 over the training rows, and every feature (the value, the hour of the day, ...) a
    mean squared distance of 2 between two random training rows, as a z-score has.  A null is encoded as the mean, 0,
    and, where the training rows had nulls, by one more coordinate:

        i = s (1[null] - p),  s = min(1 / sqrt(1 - p), 6),  p = share of nulls,

    which keeps that mean at 2 for a number with nulls: 2 (1 - p) of its values and 2 p of the indicator.

    nulls: share of nulls in the training rows; a column that had none takes none.
    copies: how many columns say the same, itself included; the coordinates are divided by sqrt(copies), so that
        m exact copies count as much as one column, and a row on which they disagree still shows it.
    """

    name: str
    nulls: float = Field(default=0.0, ge=0, le=1)
    copies: float = Field(default=1.0, ge=1)

    @property
    def nullable(self) -> bool:
        return self.nulls > 0

    @property
    def null_scale(self) -> float:
        return 1.0 / max(np.sqrt(1.0 - self.nulls), 1.0 / MAX_DISTANCE)

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """How many coordinates encode the column."""

    @property
    @abc.abstractmethod
    def discrete(self) -> tuple[bool, ...]:
        """Which of them take few values: levels, booleans, null indicators."""

    @property
    @abc.abstractmethod
    def constant(self) -> bool:
        """Whether all training rows have the same value (or all are null)."""

    @property
    @abc.abstractmethod
    def arrow_type(self) -> pa.DataType:
        """Of the cells that `accept` returns."""

    @abc.abstractmethod
    def accept(self, cells: pa.Array) -> pa.Array:
        """Cells of any Arrow type as `arrow_type`; raises CellError for the first that does not fit."""

    @abc.abstractmethod
    def accept_python(self, cells: Sequence[Any]) -> pa.Array:
        """As `accept`, for Python objects, e.g. of a JSON request; None is a null."""

    @abc.abstractmethod
    def encode(self, cells: pa.Array) -> np.ndarray:
        """Accepted cells (N,) -> (N, width) float64, not yet divided by sqrt(copies)."""

    @abc.abstractmethod
    def decode(self, z: np.ndarray) -> pa.Array:
        """(N, width) -> the nearest cells (N,)."""

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """For people and clients, JSON-able."""

    @property
    @abc.abstractmethod
    def example(self) -> Any:
        """A usual value, as JSON writes it."""

    def head(self, type_name: str, **more: Any) -> dict[str, Any]:
        """The part of `describe` that all columns share."""
        about = {"name": self.name, "type": type_name, "nullable": self.nullable}
        return about | ({"nulls": self.nulls} if self.nullable else {}) | more

    def add_indicator(self, parts: list[np.ndarray], null: np.ndarray) -> np.ndarray:
        """Stack coordinates (N,) to (N, width), the null indicator last, where the column has one."""
        if self.nullable:
            parts = [*parts, self.null_scale * (null - self.nulls)]
        return np.stack(parts, axis=1)

    def decoded_nulls(self, z: np.ndarray) -> np.ndarray:
        """(N,) bool: where the indicator, the last coordinate, says null."""
        if not self.nullable:
            return np.zeros(len(z), dtype=bool)
        return z[:, -1] / self.null_scale + self.nulls > 0.5


def null_share(cells: pa.Array) -> float:
    return cells.null_count / len(cells)


def nulls_of(cells: pa.Array) -> np.ndarray:
    """(N,) bool."""
    if cells.null_count == 0:
        return np.zeros(len(cells), dtype=bool)
    return cells.is_null().to_numpy(zero_copy_only=False)


def first(mask: pa.Array | np.ndarray) -> int:
    """Row of the first true value."""
    return int(np.argmax(np.asarray(mask)))


def plain(cells: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One chunk, dictionaries and views resolved."""
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks() if cells.num_chunks != 1 else cells.chunk(0)
        if isinstance(cells, pa.ChunkedArray):  # what does not fit one chunk stays several
            cells = pa.concat_arrays(cells.chunks)
    if isinstance(cells, pa.DictionaryArray):
        return plain(cells.dictionary).take(cells.indices)
    if is_text(cells.type) and cells.type != pa.string():
        return cells.cast(pa.string())
    return cells


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def refuse_kind(cells: pa.Array, wanted: str) -> CellError:
    """The error for a whole column of the wrong type: shows its first cell."""
    row = first(cells.is_valid()) if cells.null_count < len(cells) else 0
    return CellError(row, f"is {clip_text(cells[row].as_py())}, not {wanted}")
