"""How long each model takes for so many rows, learnt from the batches that it has scored."""

from __future__ import annotations

import weakref
from typing import Any

NEW = 0.3  # weight of the latest batch


class Pace:
    """Seconds of a batch by model and size, sizes to within a factor of two: a batch of one row takes hardly less than
    one of thirty."""

    def __init__(self) -> None:
        self._seconds: weakref.WeakKeyDictionary[Any, dict[int, float]] = weakref.WeakKeyDictionary()

    def observe(self, model: Any, rows: int, seconds: float) -> None:
        of = self._seconds.setdefault(model, {})
        size = rows.bit_length()
        of[size] = (1 - NEW) * of.get(size, seconds) + NEW * seconds

    def expect(self, model: Any, rows: int) -> float | None:
        """Seconds that `rows` rows will take; None for a model that has scored nothing yet."""
        of = self._seconds.get(model)
        if not of:
            return None
        size = rows.bit_length()
        if size in of:
            return of[size]
        # Of another size: no less than a smaller batch, and at most in proportion.
        nearest = min(of, key=lambda known: abs(known - size))
        return of[nearest] * max(1.0, 2.0 ** (size - nearest))

    def rows_within(self, model: Any, seconds: float) -> int | None:
        """How many rows take about `seconds`, by the largest batch so far; None where there was none."""
        of = self._seconds.get(model)
        if not of:
            return None
        size = max(of)
        return int(0.75 * 2**size * seconds / max(of[size], 1e-9))
