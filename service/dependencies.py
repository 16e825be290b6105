"""What routes need of the running server, and how they wait for the inference thread."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import Depends, Path, Request

from ebm.errors import BadInput, Unsupported
from service.engine import Engine
from service.registry import Loaded, Registry
from service.settings import Settings
from service.telemetry import Metrics


def settings_of(request: Request) -> Settings:
    return request.app.services.settings


def engine_of(request: Request) -> Engine:
    return request.app.services.engine


def registry_of(request: Request) -> Registry:
    return request.app.services.registry


def metrics_of(request: Request) -> Metrics:
    return request.app.services.metrics


async def loaded_of(
    request: Request, name: Annotated[str, Path(description="Name of a model, see `GET /v1/models`.")]
) -> Loaded:
    return await registry_of(request).get(name)


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
