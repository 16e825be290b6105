"""What routes need of the running server, and how they wait for the inference thread."""

from __future__ import annotations

import asyncio
import math
from typing import Annotated, Any

from fastapi import Depends, Path, Request

from ebm.errors import BadInput, Cancelled, Unsupported
from service.engine import Engine
from service.errors import DeadlinePassed
from service.registry import Loaded, Registry
from service.settings import Settings
from service.tasks import Task
from service.telemetry import Metrics

POLL_S = 0.25  # how often a waiting request looks whether its client is still there


def settings_of(request: Request) -> Settings:
    return request.app.state.settings


def engine_of(request: Request) -> Engine:
    return request.app.state.engine


def registry_of(request: Request) -> Registry:
    return request.app.state.registry


def metrics_of(request: Request) -> Metrics:
    return request.app.state.metrics


def loaded_of(
    request: Request, name: Annotated[str, Path(description="Name of a model, see `GET /v1/models`.")]
) -> Loaded:
    return registry_of(request).get(name)


def timeout_of(request: Request) -> float:
    """X-Timeout-Seconds, capped by the settings; the settings' default where the client names none."""
    settings = settings_of(request)
    given = request.headers.get("x-timeout-seconds")
    if given is None:
        return settings.timeout_s
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise BadInput(f"X-Timeout-Seconds: {given[:40]!r} is not a positive number of seconds")
    return min(seconds, settings.max_timeout_s)


SettingsDep = Annotated[Settings, Depends(settings_of)]
EngineDep = Annotated[Engine, Depends(engine_of)]
RegistryDep = Annotated[Registry, Depends(registry_of)]
MetricsDep = Annotated[Metrics, Depends(metrics_of)]
LoadedDep = Annotated[Loaded, Depends(loaded_of)]
TimeoutDep = Annotated[float, Depends(timeout_of)]


def require(loaded: Loaded, ability: str) -> None:
    """Refuse early what the model cannot do, before its body is parsed or anything is queued."""
    if ability not in loaded.detector.can:
        can = ", ".join(sorted(loaded.detector.can))
        raise Unsupported(f"model {loaded.name!r} cannot {ability}; it can {can}")


async def wait_for(request: Request, task: Task, engine: Engine) -> Any:
    """The task's answer; tells the inference thread to stop when the client or the time is gone."""
    future = asyncio.wrap_future(task.future)
    # An answer nobody collects any more must not be logged as an error that was never retrieved.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        while True:
            left = task.deadline - engine.clock()
            await asyncio.wait({future}, timeout=max(0.0, min(POLL_S, left)))
            if future.done():
                return future.result()
            if left <= 0:
                raise DeadlinePassed()
            if await request.is_disconnected():
                raise Cancelled("the client went away")
    finally:
        if not future.done():
            task.cancel()
