"""The scoring thread: what waits becomes one batch a model; it never waits for a batch to fill.

Rows of many requests are scored together, in parts that take about `part_s` each, so that a request of ten thousand
rows does not hold up one of a single row: of each part, at most half is the oldest request's.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from ebm.data import concat_rows
from service.engine.pace import Pace
from service.engine.row_scores import row_scores
from service.engine.tasks import Results, Scorer, ScoreTask, deliver, deliver_here
from service.errors import ShuttingDown

Clock = Callable[[], float]
OnBatch = Callable[[Any, int, np.ndarray, np.ndarray], None]
Deliver = Callable[[Results], None]
SMALLEST_PART = 64
LONGER = 5
INLINE_ROWS = 64
HAND_OVER_S = 0.05


class ScoringThread:
    """Scores what `put` queues. `on_batch(model, requests, anomaly_score, p_value)` sees each batch."""

    def __init__(
        self,
        *,
        max_batch_rows: int,
        part_s: float,
        inline_s: float,
        clock: Clock,
        on_start: Callable[[], None],
        on_batch: OnBatch,
    ):
        self.max_batch_rows, self.part_s, self.inline_s, self.clock = max_batch_rows, part_s, inline_s, clock
        self._on_start, self._on_batch = on_start, on_batch
        self._queue: queue.SimpleQueue[list[ScoreTask] | None] = queue.SimpleQueue()
        self._gathered: list[ScoreTask] = []
        self._open: dict[Scorer, deque[ScoreTask]] = {}
        self._pace = Pace()
        # Held by whoever scores: the thread, or for moments the event loop.
        self._at_work = threading.Lock()
        self._part_takes_s = 0.0  # what the one under way is expected to take
        self._rate = 0.0  # requests a second, lately
        self._give_up_at = float("inf")
        # Each counted by one thread only, so that no lock is needed.
        self._put_tasks = self._put_rows = self._done_tasks = self._done_rows = 0
        self.thread = threading.Thread(target=self._loop, name="scoring", daemon=True)

    # -- from the event loop --

    def put(self, task: ScoreTask) -> None:
        self._put_tasks += 1
        self._put_rows += len(task.values)
        # Requests that one turn of the event loop has read go over together: each wake-up of the thread costs as much
        # as a small model.
        if not self._gathered:
            task.future.get_loop().call_soon(self._hand_over)
        self._gathered.append(task)

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        if not (self._takes_no_time(gathered) and self._take_over()):
            self._queue.put(gathered)
            return
        try:
            if self._open:  # more than a batch is waiting: for the thread, in its order
                self._queue.put(gathered)
                return
            self._sort(gathered)
            for scorer in list(self._open):
                self._serve(scorer, deliver_here)
            if self._open:  # a batch takes so many rows at most
                self._queue.put([])
        finally:
            self._at_work.release()

    def _takes_no_time(self, tasks: list[ScoreTask]) -> bool:
        """Whether these tasks take less time than two threads lose to each other: few rows, of a fast model. Of many
        rows, torch's operations take long enough for the event loop to go on beside them."""
        rows: dict[Scorer, int] = {}
        for task in tasks:
            rows[task.scorer] = rows.get(task.scorer, 0) + len(task.values)
        if sum(rows.values()) > INLINE_ROWS:
            return False
        return sum(self._expect(scorer, n) for scorer, n in rows.items()) <= self.inline_s

    def _take_over(self) -> bool:
        """Get the right to score, where the thread does not have it, or gives it back at once."""
        if self._at_work.acquire(blocking=False):
            return True
        return self._part_takes_s <= self.inline_s and self._at_work.acquire(timeout=self.inline_s)

    def _expect(self, scorer: Scorer, rows: int) -> float:
        seconds = self._pace.expect(scorer, rows)
        return math.inf if seconds is None else seconds

    @property
    def depth(self) -> int:
        """Requests waiting or under way."""
        return self._put_tasks - self._done_tasks

    @property
    def rows(self) -> int:
        """Rows of these requests."""
        return self._put_rows - self._done_rows

    @property
    def waiting_s(self) -> float:
        """How long the queue takes at the pace of late."""
        return self.depth / self._rate if self._rate else 0.0

    def stop(self, give_up_at: float) -> None:
        self._give_up_at = give_up_at
        self._queue.put(None)

    # -- in the thread --

    def _loop(self) -> None:
        self._on_start()
        stopping = False
        while True:
            arrived = [self._queue.get()] if not self._open and not stopping else []
            if stopping and not self._open and self.depth:  # accepted, but not handed over yet
                with suppress(queue.Empty):
                    arrived.append(self._queue.get(timeout=HAND_OVER_S))
            with suppress(queue.Empty):
                while True:
                    arrived.append(self._queue.get_nowait())
            with self._at_work:
                for tasks in arrived:
                    stopping |= self._sort(tasks)
                if stopping and (not self.depth or self.clock() >= self._give_up_at):
                    self._finish(
                        [(t, ShuttingDown()) for tasks in self._open.values() for t in tasks], deliver
                    )
                    self._open.clear()
                    return
                for scorer in list(self._open):
                    self._serve(scorer, deliver)

    def _sort(self, tasks: list[ScoreTask] | None) -> bool:
        """Put tasks to those of their models; whether it was the sign to stop."""
        for task in tasks or ():
            self._open.setdefault(task.scorer, deque()).append(task)
        return tasks is None

    def _serve(self, scorer: Scorer, deliver: Deliver) -> None:
        """One part of what waits for one model."""
        started, began, now = time.perf_counter(), time.thread_time(), self.clock()
        stopped: Results = [(t, why) for t in self._open[scorer] if (why := t.reason_to_stop(now))]
        if stopped:
            gone = {id(t) for t, _ in stopped}
            self._open[scorer] = deque(t for t in self._open[scorer] if id(t) not in gone)
            self._finish(stopped, deliver)
        if not self._open[scorer]:
            del self._open[scorer]
            return
        slices = self._part(scorer)
        rows = sum(stop - start for _, start, stop in slices)
        self._part_takes_s = self._expect(scorer, rows)
        finished = self._run(scorer, slices)
        # Its own time, not that in which it waited for Python's lock: that would keep it from being scored elsewhere.
        self._pace.observe(scorer, rows, max(time.thread_time() - began, 1e-9))
        seconds = max(time.perf_counter() - started, 1e-9)
        if finished:
            pace = len(finished) / seconds
            self._rate = 0.9 * self._rate + 0.1 * pace if self._rate else pace
            left = {id(t) for t, _ in finished}
            remaining = deque(t for t in self._open[scorer] if id(t) not in left)
            if remaining:
                self._open[scorer] = remaining
            else:
                del self._open[scorer]
            self._finish(finished, deliver)

    def _part(self, scorer: Scorer) -> list[tuple[ScoreTask, int, int]]:
        """Which rows of which tasks come next, the oldest task first."""
        # Where all wait long, fewer and longer parts: between parts, and operations, other threads take their turns.
        longer = LONGER if self.waiting_s > LONGER * self.part_s else 1
        within = self._pace.rows_within(scorer, longer * self.part_s)
        budget = (
            self.max_batch_rows if within is None else min(self.max_batch_rows, max(SMALLEST_PART, within))
        )
        tasks = self._open[scorer]
        slices = []
        for i, task in enumerate(tasks):
            most = budget if i or len(tasks) == 1 else max(1, budget // 2)
            stop = min(len(task.values), task.done + most)
            slices.append((task, task.done, stop))
            budget -= stop - task.done
            if budget <= 0:
                break
        return slices

    def _run(self, scorer: Scorer, slices: list[tuple[ScoreTask, int, int]]) -> Results:
        """Energies of the slices; the tasks that this completes or fails, with their answers."""
        try:
            parts = [t.values if t.single else t.values[start:stop] for t, start, stop in slices]
            energy = scorer.energies(parts[0] if len(parts) == 1 else concat_rows(parts))
            measured = scorer.measure(energy)
        except Exception as error:
            if len(slices) == 1:
                return [(slices[0][0], error)]
            # One bad request must not fail its neighbours: each again, alone.
            return [result for one in slices for result in self._run(scorer, [one])]
        self._on_batch(slices[0][0].model, len(slices), *measured)
        singles = list(row_scores(energy, *measured)) if any(task.single for task, _, _ in slices) else []
        results: Results = []
        first = 0
        for task, start, stop in slices:
            last = first + stop - start
            if task.single:
                results.append((task, singles[first]))
            elif start == 0 and stop == len(task.values):
                answer = _judge(task, energy[first:last], (measured[0][first:last], measured[1][first:last]))
                results.append((task, answer))
            else:
                task.parts.append(energy[first:last])
                task.done = stop
                if stop == len(task.values):
                    results.append((task, _judge(task, np.concatenate(task.parts), None)))
            first = last
        return results

    def _finish(self, results: Results, deliver: Deliver) -> None:
        if results:
            self._done_tasks += len(results)
            self._done_rows += sum(len(task.values) for task, _ in results)
            deliver(results)


def _judge(task: ScoreTask, energy: np.ndarray, measured: tuple[np.ndarray, np.ndarray] | None) -> Any:
    try:
        return task.scorer.judge(energy, measured=measured, **task.options)
    except Exception as error:
        return error
