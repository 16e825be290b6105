"""What may wait for the inference thread: a score request, or a long task in steps."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ebm.data import Values
from ebm.errors import Cancelled
from service.errors import DeadlinePassed

Steps = Generator[Any, None, Any]


@dataclass(eq=False, kw_only=True)
class Task:
    """One piece of work and where its answer appears. `deadline` is in the engine's clock."""

    deadline: float
    future: Future[Any] = field(default_factory=Future)
    gone: bool = False

    def cancel(self) -> None:
        """Tell the inference thread that nobody waits for the answer any more."""
        self.gone = True

    def reason_to_stop(self, now: float) -> Exception | None:
        if self.gone:
            return Cancelled("the client went away")
        return DeadlinePassed() if now >= self.deadline else None

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Scorer(Protocol):
    """What the engine needs of a model (ebm.detector.Detector has it).

    A row's energy does not depend on its batch, so requests may share one; ranks and labels are
    each request's own.
    """

    def energies(self, values: Any, /) -> np.ndarray: ...

    @property
    def judge(self) -> Callable[..., Any]: ...


@dataclass(eq=False, kw_only=True)
class ScoreTask(Task):
    scorer: Scorer
    values: Values
    options: dict[str, Any]


@dataclass(eq=False, kw_only=True)
class LongTask(Task):
    start: Callable[[], Steps]
    steps: Steps | None = None
