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
LEAST_S = 1.0  # of less time a rate says nothing


class Meter:
    """Noted by the thread that computes, read by the one that publishes.

    Args:
        on_first: called at the first note.

    got_on: whether there was one.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None) -> None:
        self._on_first = on_first
        self._lock = threading.Lock()
        self._notes: deque[tuple[float, int]] = deque()
        self._progress: JobProgress | None = None
        self.got_on = False

    def begin(self, done: int, total: int | None) -> None:
        """Rows from `done` on are about to be worked on: what an earlier attempt did says nothing of the rate."""
        with self._lock:
            self._notes.clear()
            self._notes.append((time.monotonic(), done))
            self._progress = JobProgress(done=done, total=total)

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
            if not self.got_on:
                self.got_on = True
                self._on_first()
            then, before = self._notes[0]
            rate = (done - before) / (now - then) if now - then >= LEAST_S and done > before else None
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
        """None until work began."""
        with self._lock:
            return self._progress
