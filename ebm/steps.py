"""Long calls as generators: they pause between steps, so that a caller can show progress, take turns or stop."""

from __future__ import annotations

from collections.abc import Generator as Steps
from typing import NamedTuple, TypeVar

import numpy as np

__all__ = ["Progress", "Steps", "finish"]

T = TypeVar("T")


class Progress(NamedTuple):
    """Between two steps of a long call; `snapshot` (n, ...) in user units where one was asked for."""

    step: int
    n_total: int
    snapshot: np.ndarray | None = None


def finish(steps: Steps[object, None, T]) -> T:
    """Run a stepwise call to its end and return its answer."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
