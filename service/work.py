"""What routes do with the engine: find a model, queue its work, and wait while the client does."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.requests import Request

from ebm.answers import Scores
from ebm.data import Values
from ebm.errors import BadInput, Unsupported
from ebm.steps import Progress, Steps
from service.bodies.media import header
from service.engine import Engine
from service.engine.row_scores import RowScore
from service.engine.tasks import Merge, Task
from service.registry import Loaded
from service.routing import services
from service.settings import Settings
from service.telemetry.tracing import inference


@dataclass(frozen=True)
class Done:
    """The end of `follow_steps`."""

    answer: Any


async def find(request: Request, name: str, version: str | None = None, *, needs: str = "score") -> Loaded:
    """The model of a request that is about to ask `needs` of it.

    Raises:
        Problem: 404 or 503 as `Registry.get`; 429 where scores are asked for and the queue is full, before the body is
            read.
        Unsupported: the model cannot do it.
    """
    here = services(request)
    loaded = await here.registry.get(name, version)
    if needs == "score":
        here.engine.require_room()
    elif needs not in loaded.detector.can:
        can = ", ".join(sorted(loaded.detector.can))
        raise Unsupported(f"model {loaded.name!r} cannot {needs}; it can {can}")
    return loaded


async def score_rows(
    request: Request, loaded: Loaded, values: Values, *, fpr: float | None = None, fdr: float | None = None
) -> Scores:
    """Scores of rows that the model accepts, batched with those of other requests."""
    here = services(request)
    task = here.engine.submit_score(
        loaded.detector,
        values,
        timeout_s=timeout_of(request, here.settings),
        model=loaded,
        fpr=fpr,
        fdr=fdr,
    )
    scores: Scores = await wait_for(request, task, here.engine)
    here.metrics.flagged(loaded.name, int(np.count_nonzero(scores.is_anomaly)))
    return scores


async def score_row(request: Request, loaded: Loaded, values: np.ndarray) -> RowScore:
    """The score of one row (1, ...), as text; whether it is an anomaly is for the caller to say, and to count."""
    here = services(request)
    engine = here.engine
    timeout_s = timeout_of(request, here.settings)
    task = engine.submit_score(loaded.detector, values, timeout_s=timeout_s, model=loaded, single=True)
    engine.watch.add(task, request)
    try:
        with inference(request.scope):
            return await task.future
    finally:
        engine.watch.remove(task)
        task.gone = True


async def run_steps(
    request: Request,
    loaded: Loaded,
    operation: str,
    start: Callable[[], Steps[Progress, None, Any]],
    *,
    merge: Merge | None = None,
) -> Any:
    """The answer of a long call, which advances by turns with others."""
    here = services(request)
    began = here.engine.clock()
    task = here.engine.submit_steps(start, timeout_s=timeout_of(request, here.settings), merge=merge)
    answer = await wait_for(request, task, here.engine)
    here.metrics.long_calls.labels(loaded.name, operation).observe(here.engine.clock() - began)
    return answer


async def follow_steps(
    request: Request, loaded: Loaded, operation: str, start: Callable[[], Steps[Progress, None, Any]]
) -> AsyncIterator[Progress | Done]:
    """`run_steps` with its progress: of each chunk the last step and every snapshot, then `Done`.

    A client that reads slowly gets fewer steps, but every snapshot.
    """
    here = services(request)
    arrived = asyncio.Event()
    gathered: list[Progress] = []

    def on_progress(progress: list[Progress]) -> None:
        if gathered and gathered[-1].snapshot is None:
            gathered.pop()
        gathered.extend(p for p in progress[:-1] if p.snapshot is not None)
        gathered.append(progress[-1])
        arrived.set()

    timeout_s, began = timeout_of(request, here.settings), here.engine.clock()
    task = here.engine.submit_steps(start, timeout_s=timeout_s, on_progress=on_progress)
    waiting = asyncio.ensure_future(wait_for(request, task, here.engine))
    waiting.add_done_callback(lambda done: (done.cancelled() or done.exception(), arrived.set()))
    try:
        while True:
            await arrived.wait()
            arrived.clear()
            now, gathered[:] = gathered[:], []
            for one in now:
                yield one
            if waiting.done() and not gathered:
                done = Done(waiting.result())
                here.metrics.long_calls.labels(loaded.name, operation).observe(here.engine.clock() - began)
                yield done
                return
    finally:
        task.give_up()
        waiting.cancel()


async def wait_for(request: Request, task: Task, engine: Engine) -> Any:
    """The task's answer; tells its thread to stop when the client or the time is gone."""
    engine.watch.add(task, request)
    try:
        with inference(request.scope):
            return await task.future
    finally:
        engine.watch.remove(task)
        task.gone = True


def timeout_of(request: Request, settings: Settings) -> float:
    """X-Timeout-Seconds, capped by the settings; the settings' default where the client names none."""
    given = header(request, b"x-timeout-seconds")
    if given is None:
        return settings.timeout_s
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise BadInput(f"X-Timeout-Seconds: {given[:40]!r} is not a positive number of seconds")
    return min(seconds, settings.max_timeout_s)
