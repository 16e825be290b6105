"""Alive, ready, and metrics: open to all."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from service.errors import Problem, ShuttingDown
from service.routing import scoped, services
from service.schemas.health import Alive, Ready
from service.schemas.problems import problems

router = APIRouter(tags=["health"], route_class=scoped(None))
ALIVE = b'{"status":"alive"}'


@router.get("/healthz", response_class=Response, responses={200: {"model": Alive}})
async def alive(_: Request) -> Response:
    """The process answers."""
    return Response(ALIVE, media_type="application/json")


@router.get("/readyz", response_class=Response, responses={200: {"model": Ready}, **problems(503)})
async def ready(request: Request) -> Response:
    """At least one model is loaded, or loads when asked for, and the inference threads accept work."""
    here = services(request)
    if not here.engine.accepting:
        raise ShuttingDown()
    models = here.registry.numbers
    if not models.loaded + models.available + models.evicted:
        raise Problem(503, "no-models", f"no model is there to serve, {models.refused} refused")
    found = Ready(status="ready", models=models.loaded, refused=models.refused, queue=here.engine.depth())
    return Response(orjson.dumps(found.model_dump()), media_type="application/json")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    here = services(request)
    here.metrics.refresh(here.engine, here.registry)
    return Response(here.metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})
