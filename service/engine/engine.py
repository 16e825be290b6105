"""The inference threads of a process, behind two bounded queues: rows to score, and long calls in steps.

Scoring never waits for a long call: each sort has its own thread, and torch lets go of Python's lock inside its
operations. What is refused is told how long the queue takes at the pace of late.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

from ebm.data import Values
from ebm.steps import Progress, Steps
from service.engine.scoring import OnBatch, ScoringThread
from service.engine.tasks import LongTask, Merge, Scorer, ScoreTask
from service.engine.turns import TurnsThread
from service.engine.watch import Watch
from service.errors import Problem, ShuttingDown, TooMany

LONGEST_RETRY_S = 60


class Engine:
    """Takes work from the event loop; never blocks it."""

    def __init__(
        self,
        *,
        queue_size: int = 256,
        queue_rows: int = 65_536,
        task_queue_size: int = 16,
        active_tasks: int = 2,
        max_batch_rows: int = 4096,
        part_s: float = 0.02,
        inline_s: float = 0.0,
        chunk_steps: int = 10,
        chunk_s: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
        on_start: Callable[[], None] = lambda: None,
        on_batch: OnBatch = lambda model, requests, anomaly_score, p_value: None,
        on_steps: Callable[[int], None] = lambda steps: None,
    ):
        self.queue_size, self.queue_rows, self.task_queue_size = queue_size, queue_rows, task_queue_size
        self.clock = clock
        self._scoring = ScoringThread(
            max_batch_rows=max_batch_rows,
            part_s=part_s,
            inline_s=inline_s,
            clock=clock,
            on_start=on_start,
            on_batch=on_batch,
        )
        self._turns = TurnsThread(
            active=active_tasks,
            chunk_steps=chunk_steps,
            chunk_s=chunk_s,
            max_batch_rows=max_batch_rows,
            clock=clock,
            on_start=on_start,
            on_steps=on_steps,
        )
        self.watch = Watch(clock)
        self._started = self._stopping = False

    def start(self) -> None:
        self._started = True
        self._scoring.thread.start()
        self._turns.thread.start()

    def stop(self, drain_s: float = 10.0) -> None:
        """Take no new work, finish what was accepted within `drain_s` seconds, fail the rest. Blocks; an event loop
        that waits for answers calls it in another thread."""
        if not self._started:
            return
        self._stopping = True
        give_up_at = self.clock() + drain_s
        self._scoring.stop(give_up_at)
        self._turns.stop(give_up_at)
        for thread in (self._scoring.thread, self._turns.thread):
            # A step that hangs must not keep the process: the threads are daemons.
            thread.join(drain_s + 30)

    @property
    def accepting(self) -> bool:
        alive = self._scoring.thread.is_alive() and self._turns.thread.is_alive()
        return self._started and alive and not self._stopping

    def depth(self) -> dict[str, int]:
        """How many requests wait or are under way, by sort."""
        return {"score": self._scoring.depth, "task": self._turns.depth}

    def require_room(self, rows: int = 0) -> None:
        """Raises what `no_room` returns."""
        problem = self.no_room(rows)
        if problem is not None:
            raise problem

    def no_room(self, rows: int = 0) -> Problem | None:
        """TooMany where no score request, or none of so many rows, can be queued now; ShuttingDown; else None."""
        if self._stopping or not self._started:
            return ShuttingDown()
        if self._scoring.depth >= self.queue_size:
            return TooMany(f"the score queue is full ({self.queue_size} requests)", self.retry_after_s)
        queued = self._scoring.rows
        if queued and queued + rows > self.queue_rows:
            return TooMany("the score queue is full of rows", self.retry_after_s)
        return None

    @property
    def retry_after_s(self) -> int:
        """How long the score queue takes at the pace of late, in whole seconds."""
        return _seconds(self._scoring.waiting_s)

    def submit_score(
        self,
        scorer: Scorer,
        values: Values,
        *,
        timeout_s: float,
        model: Any = None,
        single: bool = False,
        **options: Any,
    ) -> ScoreTask:
        """Queue rows (n, ...) for `scorer`; the future gives `scorer.judge(...)` of exactly these rows, or with
        `single` the `RowScore` of the only one."""
        self.require_room(len(values))
        task = ScoreTask(
            deadline=self.clock() + timeout_s,
            future=asyncio.get_running_loop().create_future(),
            scorer=scorer,
            values=values,
            model=model,
            options=options,
            single=single,
        )
        self._scoring.put(task)
        return task

    def submit_steps(
        self,
        start: Callable[[], Steps[Progress, None, Any]],
        *,
        timeout_s: float,
        merge: Merge | None = None,
        on_progress: Callable[[list[Progress]], None] | None = None,
    ) -> LongTask:
        """Queue a long call. `start` is called in its thread, so that nothing heavy runs on the event loop."""
        if self._stopping or not self._started:
            raise ShuttingDown()
        if self._turns.depth >= self.task_queue_size:
            raise TooMany(
                f"the task queue is full ({self.task_queue_size} requests)", _seconds(self._turns.waiting_s)
            )
        task = LongTask(
            deadline=self.clock() + timeout_s,
            future=asyncio.get_running_loop().create_future(),
            start=start,
            merge=merge,
            on_progress=on_progress,
        )
        self._turns.put(task)
        return task


def _seconds(waiting_s: float) -> int:
    return min(LONGEST_RETRY_S, max(1, math.ceil(waiting_s)))
