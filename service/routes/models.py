"""Which models are served, what each says about itself, and the limits."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from service.errors import Problem
from service.registry import Registry, Slot
from service.routing import scoped, services
from service.schemas.models import (
    Limits,
    ModelDetail,
    ModelList,
    ModelSummary,
    RefusedModel,
    Reloaded,
    Version,
)
from service.schemas.problems import problems

router = APIRouter(prefix="/v1", tags=["models"], route_class=scoped("score"))


@router.get("/models", response_model=ModelList)
async def list_models(request: Request) -> Response:
    """Every model by its default version, and the versions that were refused, with the reason."""
    registry = services(request).registry
    slots = registry.slots.values()
    chosen = [slot for slot in slots if slot.is_default and slot.usable]
    found = ModelList(
        models=[_summary(slot, registry) for slot in chosen if slot.manifest is not None],
        refused=[
            RefusedModel(name=one.name, version=one.version, reason=one.reason)
            for one in registry.refused.values()
        ],
        unloaded=[Version(name=slot.key[0], version=slot.key[1]) for slot in slots if slot.unloaded],
    )
    return _json(found)


@router.get("/models/{name}", response_model=ModelDetail, responses=problems(404, 503))
async def show_model(request: Request, name: str) -> Response:
    """The version that the bare name means, with its manifest."""
    return _detail(request, name, None)


@router.get("/models/{name}/versions/{version}", response_model=ModelDetail, responses=problems(404, 503))
async def show_version(request: Request, name: str, version: str) -> Response:
    """One version, with its manifest."""
    return _detail(request, name, version)


@router.get("/limits", response_model=Limits)
async def limits(request: Request) -> Response:
    """How much one request may ask for."""
    return _json(Limits.of(services(request).settings))


async def reload(request: Request) -> Response:
    """Look at the models now, rather than when the watcher next does, and try again what was refused."""
    changes = await services(request).registry.reload()
    if changes.failed is not None:
        raise Problem(503, "models-unreadable", "the models cannot be listed now; the log has the reason")
    return _json(Reloaded.of(changes))


router.add_api_route(
    "/models/reload",
    reload,
    methods=["POST"],
    response_model=Reloaded,
    responses=problems(503),
    route_class_override=scoped("admin"),
)


def _detail(request: Request, name: str, version: str | None) -> Response:
    registry = services(request).registry
    slot = registry.find(name, version)
    summary, manifest = _summary(slot, registry), slot.manifest
    assert manifest is not None
    return _json(
        ModelDetail(
            **summary.model_dump(), is_default=slot.is_default, manifest=manifest.model_dump(mode="json")
        )
    )


def _summary(slot: Slot, registry: Registry) -> ModelSummary:
    assert slot.manifest is not None, "a version that is neither refused nor unloaded has been read"
    name = slot.key[0]
    return ModelSummary.of(slot, slot.manifest, registry.versions(name), registry.note(name))


def _json(found: BaseModel) -> Response:
    return Response(found.model_dump_json(), media_type="application/json")
