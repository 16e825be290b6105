"""One inference thread: waiting score requests become one batch a model; long tasks advance by turns.

The thread never waits for a batch to fill: it takes what has gathered while it was busy. A long task is a
Python generator that yields once a step; its return value is the answer. It advances a chunk of steps at a
time; between two chunks the thread serves the scores that wait, and looks whether the task's deadline has
passed or its client has gone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from ebm.data import Values, concat_rows
from service.errors import ShuttingDown, TooMany
from service.tasks import LongTask, Scorer, ScoreTask, Steps, Task

Clock = Callable[[], float]


class Engine:
    """Owns the inference thread. `submit_*` may be called from any thread; they never block."""

    def __init__(
        self,
        *,
        queue_size: int = 256,
        task_queue_size: int = 16,
        active_tasks: int = 2,
        max_batch_rows: int = 4096,
        chunk_steps: int = 10,
        chunk_s: float = 0.05,
        retry_after_s: int = 1,
        clock: Clock = time.monotonic,
        on_start: Callable[[], None] = lambda: None,
        on_batch: Callable[[int, int], None] = lambda requests, rows: None,
        on_steps: Callable[[int], None] = lambda steps: None,
    ):
        self.queue_size, self.task_queue_size, self.active_tasks = queue_size, task_queue_size, active_tasks
        self.max_batch_rows, self.chunk_steps, self.chunk_s = max_batch_rows, chunk_steps, chunk_s
        self.retry_after_s, self.clock = retry_after_s, clock
        self._on_start, self._on_batch, self._on_steps = on_start, on_batch, on_steps
        self._wake = threading.Condition()
        self._scores: deque[ScoreTask] = deque()
        self._waiting: deque[LongTask] = deque()
        self._active: deque[LongTask] = deque()
        self._stopping = False
        self._give_up_at = float("inf")
        self._thread: threading.Thread | None = None

    # -- from any thread --

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="inference", daemon=True)
        self._thread.start()

    def stop(self, drain_s: float = 10.0) -> None:
        """Take no new work, finish what was accepted within `drain_s` seconds, fail the rest."""
        with self._wake:
            self._stopping = True
            self._give_up_at = self.clock() + drain_s
            self._wake.notify()
        if self._thread is not None:
            # A step that hangs must not keep the process: the thread is a daemon.
            self._thread.join(drain_s + 30)

    @property
    def accepting(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive() and not self._stopping

    def depth(self) -> dict[str, int]:
        """How many requests wait or are under way, by sort."""
        return {"score": len(self._scores), "task": len(self._waiting) + len(self._active)}

    def submit_score(self, scorer: Scorer, values: Values, *, timeout_s: float, **options: Any) -> ScoreTask:
        """Queue rows (n, ...) for `scorer`; the future gives `scorer.judge(...)` of exactly these rows."""
        task = ScoreTask(deadline=self.clock() + timeout_s, scorer=scorer, values=values, options=options)
        self._put(self._scores, task, len(self._scores), self.queue_size, "score")
        return task

    def submit_steps(self, start: Callable[[], Steps], *, timeout_s: float) -> LongTask:
        """Queue a long task. `start` is called in the inference thread, so that nothing runs elsewhere."""
        task = LongTask(deadline=self.clock() + timeout_s, start=start)
        self._put(self._waiting, task, len(self._waiting) + len(self._active), self.task_queue_size, "task")
        return task

    def _put(self, queue: deque[Any], task: Task, depth: int, limit: int, what: str) -> None:
        with self._wake:
            if not self.accepting:
                raise ShuttingDown()
            if depth >= limit:
                raise TooMany(f"the {what} queue is full ({limit} requests)", self.retry_after_s)
            queue.append(task)
            self._wake.notify()

    # -- in the inference thread --

    def _loop(self) -> None:
        self._on_start()
        while True:
            with self._wake:
                while not (self._scores or self._waiting or self._active or self._stopping):
                    self._wake.wait()
                scores = list(self._scores)
                self._scores.clear()
                while self._waiting and len(self._active) < self.active_tasks:
                    self._active.append(self._waiting.popleft())
                if self._stopping and not (scores or self._active):
                    return
                give_up = self.clock() >= self._give_up_at
            if give_up:
                self._abandon(scores)
                continue
            self._serve(scores)
            if self._active:
                resolve = self._advance(self._active[0])
                if resolve is None:
                    self._active.rotate(-1)  # by turns
                else:
                    # Off the books first: who has an answer may at once ask for more.
                    self._active.popleft()
                    resolve()

    def _abandon(self, scores: list[ScoreTask]) -> None:
        for task in (*scores, *self._active):
            task.fail(ShuttingDown())
            if isinstance(task, LongTask) and task.steps is not None:
                task.steps.close()
        self._active.clear()

    def _serve(self, scores: list[ScoreTask]) -> None:
        by_model: dict[Scorer, list[ScoreTask]] = {}
        for task in scores:
            stop = task.reason_to_stop(self.clock())
            if stop is not None:
                task.fail(stop)
            else:
                by_model.setdefault(task.scorer, []).append(task)
        for scorer, tasks in by_model.items():
            batch: list[ScoreTask] = []
            rows = 0
            for task in tasks:
                if batch and rows + len(task.values) > self.max_batch_rows:
                    self._batch(scorer, batch)
                    batch, rows = [], 0
                batch.append(task)
                rows += len(task.values)
            self._batch(scorer, batch)

    def _batch(self, scorer: Scorer, tasks: list[ScoreTask]) -> None:
        try:
            values = tasks[0].values if len(tasks) == 1 else concat_rows([task.values for task in tasks])
            energy = scorer.energies(values)
            self._on_batch(len(tasks), len(values))
        except Exception as error:
            if len(tasks) == 1:
                tasks[0].fail(error)
            else:  # one bad request must not fail its neighbours: each again, alone
                for task in tasks:
                    self._batch(scorer, [task])
            return
        start = 0
        for task in tasks:
            stop = start + len(task.values)
            try:
                answer = scorer.judge(energy[start:stop], **task.options)
            except Exception as error:
                task.fail(error)
            else:
                task.future.set_result(answer)
            start = stop

    def _advance(self, task: LongTask) -> Callable[[], None] | None:
        """A chunk of steps; what gives the task its answer, if this was the last."""
        stop = task.reason_to_stop(self.clock())
        if stop is not None:
            if task.steps is not None:
                task.steps.close()
            return partial(task.fail, stop)
        until = self.clock() + self.chunk_s
        done = 0
        try:
            if task.steps is None:
                task.steps = task.start()
            while done < self.chunk_steps:
                next(task.steps)
                done += 1
                if self.clock() >= until:
                    break
        except StopIteration as finished:
            return partial(task.future.set_result, finished.value)
        except Exception as error:
            return partial(task.fail, error)
        finally:
            self._on_steps(done)
        return None
