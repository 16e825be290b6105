"""Rows that cannot be scored, told from those that can: for whoever wants the others scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ebm.data import concat_rows
from ebm.errors import BadInput

Values = np.ndarray | pa.Table


@dataclass(frozen=True)
class RowError:
    """Why a row cannot be scored, and the column at fault, where one is."""

    row: int
    detail: str
    column: str | int | None = None

    @staticmethod
    def of(error: BadInput, row: int) -> RowError:
        """From the error of a row that was read alone, hence as row 0."""
        text = str(error)
        return RowError(row, f"row {row}{text[5:]}" if text.startswith("row 0") else text, error.column)

    def as_json(self) -> dict[str, Any]:
        column = {} if self.column is None else {"column": self.column}
        return {"row": self.row, **column, "detail": self.detail}


def sieve(rows: Any, check: Callable[[Any], Values]) -> tuple[Values | None, list[int], list[RowError]]:
    """The good rows as `check` returns them (None: there is none), their positions, and the errors of the others.

    What fails is halved and tried again: k bad rows among n cost O(k log n) tries on ever fewer rows, at most
    O(n log n) rows in all, and no more than one try where all are good.

    Args:
        rows: a list, an array or a table.
        check: raises BadInput for rows of which one is bad; does not look at a row for the sake of another.

    Raises:
        BadInput: what is wrong is not of some row, e.g. a column that is missing from the table.
    """
    good: list[Values] = []
    positions: list[int] = []
    errors: list[RowError] = []
    waiting = [(0, len(rows))]
    while waiting:
        start, stop = waiting.pop()
        part = rows[start:stop]  # of a table, too
        try:
            good.append(check(part))
            positions.extend(range(start, stop))
        except BadInput as error:
            if stop - start == 1:
                errors.append(RowError.of(error, start))
                continue
            if stop == start or (error.row is None and not isinstance(rows, list)):
                raise
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]
    return concat_rows(good) if good else None, positions, errors
