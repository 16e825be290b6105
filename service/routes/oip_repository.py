"""The Open Inference Protocol's model repository extension: which models there are, and loading and unloading them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ebm.errors import BadInput, Unsupported
from service.bodies import read_body, read_document
from service.openapi import body
from service.routes.oip import TAG, answer
from service.routing import scoped, services
from service.schemas.oip import IndexEntry, IndexRequest, LoadAnswer, UnloadAnswer, failures

router = APIRouter(prefix="/v2/repository", tags=[TAG], route_class=scoped("admin"))
INDEX_BODY = body(IndexRequest, required=False)
INDEX_BODY["content"]["application/json"]["examples"] = {"those that answer": {"value": {"ready": True}}}


async def index(request: Request) -> Response:
    """Every version of every model, and why it does not answer where it does not."""
    document = await _document(request)
    ready = document.get("ready")
    if ready is not None and not isinstance(ready, bool):
        raise BadInput("'ready' must be true or false")
    entries = services(request).registry.index()
    return answer([one for one in entries if one["state"] == "READY"] if ready else entries)


router.add_api_route(
    "/index",
    index,
    methods=["POST"],
    response_model=list[IndexEntry],
    responses=failures(400, 401, 403, 413, 415, 429),
    openapi_extra={"requestBody": INDEX_BODY},
    route_class_override=scoped("score"),
)


@router.post(
    "/models/{name}/load",
    response_model=LoadAnswer,
    responses=failures(400, 401, 403, 404, 413, 415, 429, 503),
)
async def load(request: Request, name: str) -> Response:
    """Look for the model anew, and have the version that its bare name means in memory."""
    parameters = await _parameters(request)
    if parameters:
        raise Unsupported(f"parameter {min(parameters)[:80]!r}: models are loaded as they were published")
    await services(request).registry.load(name)
    return answer({"name": name, "load": True})


@router.post(
    "/models/{name}/unload",
    response_model=UnloadAnswer,
    responses=failures(400, 401, 403, 404, 413, 415, 429),
)
async def unload(request: Request, name: str) -> Response:
    """Answer 503 for all versions of the model until it is loaded again. Requests under way are answered."""
    await _parameters(request)  # no model here has dependents, so that `unload_dependents` says nothing
    services(request).registry.unload(name)
    return answer({"name": name, "unload": True})


async def _document(request: Request) -> dict[str, Any]:
    settings = services(request).settings
    content = await read_body(request, settings.max_body_bytes, settings.max_decompressed_bytes)
    if not content.strip():
        return {}
    if content.lstrip()[:1] != b"{":
        raise BadInput("the body must be a JSON object, or empty")
    return read_document(content)


async def _parameters(request: Request) -> dict[str, Any]:
    parameters = (await _document(request)).get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise BadInput("'parameters' must be an object")
    return parameters or {}
