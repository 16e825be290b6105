"""Alive, ready, and metrics."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from service.dependencies import EngineDep, MetricsDep, RegistryDep
from service.errors import Problem, ShuttingDown
from service.schemas.health import Alive, Ready
from service.schemas.problems import problems

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def alive() -> Alive:
    """The process answers."""
    return Alive(status="alive")


@router.get("/readyz", responses=problems(503))
async def ready(registry: RegistryDep, engine: EngineDep) -> Ready:
    """At least one model is loaded and the inference thread accepts work."""
    if not engine.accepting:
        raise ShuttingDown()
    if not registry.loaded:
        raise Problem(503, "no-models", f"no model is loaded, {len(registry.refused)} refused")
    return Ready(
        status="ready", models=len(registry.loaded), refused=len(registry.refused), queue=engine.depth()
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(metrics: MetricsDep, registry: RegistryDep, engine: EngineDep) -> Response:
    """Prometheus metrics."""
    for sort, depth in engine.depth().items():
        metrics.queue.labels(sort).set(depth)
    metrics.models.labels("loaded").set(len(registry.loaded))
    metrics.models.labels("refused").set(len(registry.refused))
    return Response(generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
