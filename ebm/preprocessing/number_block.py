"""Tables of numbers only, encoded as one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ebm.errors import BadInput
from ebm.preprocessing.checks import cell_error, to_float32

MISSING = "is missing (no training row had a null there)"


class NumberBlock:
    """What `Numeric` does to each of its columns, for all at once; rows (N, d) with NaN for nulls.

    Args:
        columns: `Numeric`, d of them.
        names: of the columns, for messages.
    """

    def __init__(self, columns: Sequence[Any], names: Sequence[str] | None):
        self.names = names
        root = np.sqrt([column.copies for column in columns])
        self.mean = np.array([column.mean for column in columns])
        self.divisor = np.array([column.sd for column in columns]) * root
        self.nulls = np.array([column.nulls for column in columns])
        self.nullable = np.flatnonzero(self.nulls > 0)
        widths = np.array([column.width for column in columns])
        self.main = np.cumsum(widths) - widths
        self.indicators = self.main[self.nullable] + 1
        self.shares = self.nulls[self.nullable]
        self.scale = np.array([column.null_scale for column in columns])[self.nullable] / root[self.nullable]

    def check(self, array: np.ndarray, allow_missing: bool, first_row: int) -> np.ndarray:
        """Raises BadInput for an infinity, or a null in a column that had none."""
        if array.dtype.kind != "f" or np.isfinite(array).all():
            return array
        wrong = np.isinf(array)
        if not allow_missing:
            wrong |= np.isnan(array) & (self.nulls == 0)
        if wrong.any():
            row = int(wrong.any(axis=1).argmax())
            j = int(wrong[row].argmax())
            problem = "is infinite" if np.isinf(array[row, j]) else MISSING
            raise cell_error(first_row + row, j, problem, self.names)
        return array

    def encode(self, array: np.ndarray, first_row: int) -> np.ndarray:
        """(N, d) -> (N, D) float32; raises BadInput for a cell whose z-score float32 cannot hold."""
        with np.errstate(over="ignore"):
            z = (array.astype(np.float64) - self.mean) / self.divisor
        try:
            # A tiny sd can carry a finite value beyond float32, or beyond float64.
            z = to_float32(z, self.names)
        except BadInput as error:
            if error.row is None or first_row == 0:
                raise
            with np.errstate(over="ignore"):
                j = int(np.isinf(z[error.row].astype(np.float32)).argmax())
            raise cell_error(first_row + error.row, j, "is too large for float32", self.names) from None
        null = np.isnan(z)
        if not len(self.indicators):
            return np.where(null, np.float32(0), z) if null.any() else z
        out = np.empty((len(z), len(self.mean) + len(self.indicators)), np.float32)
        out[:, self.main] = np.where(null, 0, z)
        out[:, self.indicators] = (null[:, self.nullable] - self.shares) * self.scale
        return out

    def decode(self, z: np.ndarray) -> np.ndarray:
        """(N, D) -> (N, d) float32, NaN where the indicator says null."""
        with np.errstate(over="ignore"):
            x = self.mean + self.divisor * z[:, self.main]
            if len(self.indicators):
                null = z[:, self.indicators] / self.scale + self.shares > 0.5
                x[:, self.nullable] = np.where(null, np.nan, x[:, self.nullable])
            return x.astype(np.float32)
