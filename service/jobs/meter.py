"""How far a running job is, and how fast it gets on."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from service.jobs.job import JobProgress

WINDOW_S = 10.0  # the rate is of so many last seconds
NOTES_S = 0.25  # between two that are kept for it


class Meter:
    """Noted by the thread that computes, read by the one that publishes.

    Args:
        on_first: called at the first note.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None) -> None:
        self._on_first = on_first
        self._lock = threading.Lock()
        self._notes: deque[tuple[float, int]] = deque()
        self._progress: JobProgress | None = None

    def begin(self, done: int) -> None:
        """Work goes on at `done`: what an earlier attempt did says nothing of the rate."""
        with self._lock:
            self._notes.clear()
            self._notes.append((time.monotonic(), done))

    def note(
        self,
        done: int,
        total: int | None,
        unit: Literal["rows", "steps"] = "rows",
        *,
        anomalies: int | None = None,
        rejected: int | None = None,
        term: str | None = None,
        figures: dict[str, float] | None = None,
    ) -> None:
        now = time.monotonic()
        with self._lock:
            if self._progress is not None and self._progress.term != term:
                self._notes.clear()  # another term counts its own steps
            if not self._notes or now - self._notes[-1][0] >= NOTES_S:
                self._notes.append((now, done))
            while len(self._notes) > 2 and self._notes[1][0] <= now - WINDOW_S:
                self._notes.popleft()
            if self._progress is None:
                self._on_first()
            then, before = self._notes[0]
            rate = (done - before) / (now - then) if now > then and done > before else None
            left = None if rate is None or total is None else max(total - done, 0) / rate
            self._progress = JobProgress(
                done=done,
                total=total,
                unit=unit,
                per_second=rate,
                eta_s=left,
                anomalies=anomalies,
                rejected=rejected,
                term=term,
                figures={k: float(v) for k, v in (figures or {}).items() if math.isfinite(v)},
            )

    def progress(self) -> JobProgress | None:
        """None until something was noted."""
        with self._lock:
            return self._progress
