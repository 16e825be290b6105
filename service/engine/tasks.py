"""What may wait for an inference thread: rows to score, or a long call in steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ebm.data import Values
from ebm.errors import Cancelled
from ebm.steps import Progress, Steps
from service.errors import DeadlinePassed


@dataclass(eq=False, kw_only=True, slots=True)
class Task:
    """One piece of work, and the future of the event loop where its answer appears. `deadline` is in the engine's
    clock."""

    deadline: float
    future: asyncio.Future[Any]
    gone: bool = False

    def give_up(self, error: Exception | None = None) -> None:
        """Nobody waits any more: an inference thread that comes to this task passes over it. In the event loop."""
        self.gone = True
        if error is not None and not self.future.done():
            self.future.set_exception(error)

    def reason_to_stop(self, now: float) -> Exception | None:
        if self.gone:
            return Cancelled("the client went away")
        return DeadlinePassed() if now >= self.deadline else None


class Scorer(Protocol):
    """What the engine needs of a model (ebm.detector.Detector has it).

    A row's energy does not depend on its batch, so requests may share one; ranks and labels are each request's own.
    """

    def energies(self, values: Any, /) -> np.ndarray: ...

    @property
    def measure(self) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]: ...

    @property
    def judge(self) -> Callable[..., Any]: ...


@dataclass(eq=False, kw_only=True, slots=True)
class ScoreTask(Task):
    """Rows for `scorer`; many rows are scored in parts, `done` of them so far. `model` is what the batch's observer is
    told. The answer is `scorer.judge(...)`, or for a `single` row, a `RowScore`."""

    scorer: Scorer
    values: Values
    model: Any
    options: dict[str, Any]
    single: bool = False
    done: int = 0
    parts: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True)
class Merge:
    """Long calls with an equal `key` that wait together run as one: `start(values)` on all their rows, whose answer
    `[a:b]` is each one's own."""

    key: tuple[Any, ...]
    values: Values
    start: Callable[[Values], Steps[Progress, None, Any]]


@dataclass(eq=False, kw_only=True, slots=True)
class LongTask(Task):
    """A call that advances step by step; `on_progress` is called in the event loop."""

    start: Callable[[], Steps[Progress, None, Any]]
    merge: Merge | None = None
    on_progress: Callable[[list[Progress]], None] | None = None


Results = list[tuple[Any, Any]]  # a task, and its answer or an exception


def deliver(results: Results) -> None:
    """Put answers, or exceptions, where they are waited for: one wake-up of each event loop, however many there are."""
    loops: dict[asyncio.AbstractEventLoop, Results] = {}
    for result in results:
        loops.setdefault(result[0].future.get_loop(), []).append(result)
    for loop, mine in loops.items():
        try:
            loop.call_soon_threadsafe(deliver_here, mine)
        except RuntimeError:  # the loop is closed: nobody waits
            pass


def deliver_here(results: Results) -> None:
    """`deliver`, in the event loop of all these tasks."""
    for task, answer in results:
        if task.future.done():
            continue
        if isinstance(answer, BaseException):
            task.future.set_exception(answer)
        else:
            task.future.set_result(answer)
