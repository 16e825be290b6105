"""The Open Inference Protocol, version 2: health, metadata and inference."""

from __future__ import annotations

from functools import partial

import orjson
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ebm.data import Values
from service import oip
from service.bodies import read_body
from service.bodies.limits import Limits
from service.bodies.media import header
from service.bodies.rows import INLINE_BYTES, INLINE_CELLS_BYTES
from service.bodies.takes import takes
from service.compression import compress
from service.oip.binary import HEADER
from service.openapi import binary, body
from service.openapi.operations import TIMEOUT
from service.registry import Loaded
from service.routes import health
from service.routing import scoped, services, versioned
from service.schemas.oip import (
    InferenceRequest,
    InferenceResponse,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    Server,
    failures,
)
from service.work import find, score_rows

TAG = "open inference protocol"
EXTENSIONS = ["binary_tensor_data", "model_repository"]
OCTETS = "application/octet-stream"
HEADER_KEY = HEADER.lower().encode()
HEADER_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "minimum": 0},
    "description": "bytes of JSON, where tensors follow as bytes; 0: the body is the one tensor `input` of the model",
}

router = APIRouter(prefix="/v2", tags=[TAG], route_class=scoped("score"))
open_to_all = scoped(None)


def answer(document: object) -> Response:
    return Response(orjson.dumps(document), media_type="application/json")


async def live(_: Request) -> Response:
    """The process answers."""
    return answer({"live": True})


router.add_api_route("/health/live", live, response_model=Live, route_class_override=open_to_all)


async def ready(request: Request) -> Response:
    """At least one model answers, and the server accepts work."""
    await health.ready(request)
    return answer({"ready": True})


router.add_api_route(
    "/health/ready", ready, response_model=Ready, responses=failures(503), route_class_override=open_to_all
)


@router.get("", response_model=Server, responses=failures(401, 403, 429))
async def server(request: Request) -> Response:
    """The server, and which extensions of the protocol it has."""
    return answer({"name": "ebm-service", "version": request.app.version, "extensions": EXTENSIONS})


GONE = failures(401, 403, 404, 429, 503)


@router.get("/models/{name}", response_model=ModelMetadata, responses=GONE)
@router.get("/models/{name}/versions/{version}", response_model=ModelMetadata, responses=GONE)
async def metadata(request: Request, name: str, version: str | None = None) -> Response:
    """The tensors that a model takes and answers."""
    registry = services(request).registry
    slot = registry.find(name, version)
    assert slot.manifest is not None, "a version that is neither refused nor unloaded has been read"
    found = {
        "name": name,
        "versions": registry.versions(name),
        "platform": oip.PLATFORM,
        "inputs": oip.describe_inputs(slot.manifest.input),
        "outputs": oip.describe_outputs(),
    }
    return answer(found)


@router.get("/models/{name}/ready", response_model=ModelReady, responses=GONE)
@router.get("/models/{name}/versions/{version}/ready", response_model=ModelReady, responses=GONE)
async def model_ready(request: Request, name: str, version: str | None = None) -> Response:
    """The model answers, if need be after loading: 200; else 404 or 503."""
    services(request).registry.find(name, version)
    return answer({"name": name, "ready": True})


@versioned(
    router,
    "infer",
    response_class=Response,
    responses={
        200: {"model": InferenceResponse, "content": binary(OCTETS)},
        **failures(400, 401, 403, 404, 408, 413, 415, 429, 503, 504),
    },
    openapi_extra={"requestBody": body(InferenceRequest, OCTETS), "parameters": [HEADER_PARAMETER, TIMEOUT]},
)
async def infer(request: Request, name: str, version: str | None = None) -> Response:
    """Energies, anomaly scores, p-values and labels of the rows of the input tensors."""
    loaded = await find(request, name, version)
    settings = services(request).settings
    content = await read_body(request, settings.max_body_bytes, settings.max_decompressed_bytes)
    limits = Limits.of(settings, settings.max_rows, "max_rows")
    work = partial(_read, content, header(request, HEADER_KEY), loaded, limits)
    few = INLINE_BYTES if takes(loaded.detector).numbers else INLINE_CELLS_BYTES
    asked, values = work() if len(content) <= few else await run_in_threadpool(work)
    scores = await score_rows(request, loaded, values, fpr=asked.fpr, fdr=asked.fdr)
    written, json_length = oip.write_response(asked, scores, loaded.name, loaded.version)
    if json_length is None:
        found = Response(written, media_type="application/json")
    else:
        found = Response(written, media_type=OCTETS, headers={HEADER: str(json_length)})
    return await compress(request, found)


def _read(
    content: bytes, header_length: str | None, loaded: Loaded, limits: Limits
) -> tuple[oip.InferRequest, Values]:
    asked = oip.read_request(content, header_length)
    return asked, oip.read_values(asked, loaded.detector, limits)
