"""New samples, as they are or with their making."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from ebm.detector import Detector, Generated, Progress
from service import answers, events, samples
from service.bodies import JSON, NPY, PNG, read_only_options
from service.errors import limit_exceeded
from service.openapi import binary, body, parameters
from service.registry import Loaded
from service.routing import scoped, services, versioned
from service.schemas.generate import GenerateAnswer, GenerateRequest
from service.schemas.problems import problems
from service.work import find, follow_steps, run_steps

router = APIRouter(prefix="/v1", tags=["samples"], route_class=scoped("generate"))
EVENT_STREAM = {
    events.EVENTS: {
        "schema": {
            "type": "string",
            "description": "events `progress` {step, n_total}; with keep_every `snapshot` {step, samples}, of image "
            "models {step, png}, a data URI; at the end `done`, the JSON answer (and png) without snapshots, or "
            "`error`, a problem document",
        }
    }
}


@versioned(
    router,
    "generate",
    response_class=Response,
    responses={
        200: {"model": GenerateAnswer, "content": {**binary(NPY, PNG, *samples.TABLES), **EVENT_STREAM}},
        **problems(404, 406, 413, 415, 422, 429, 503, 504),
    },
    openapi_extra={
        "requestBody": body(GenerateRequest, required=False),
        "parameters": parameters(GenerateRequest),
    },
)
async def generate(request: Request, name: str, version: str | None = None) -> Response:
    """New samples. By `Accept`: JSON; npy, (n, ...) or with keep_every (k + 1, n, ...), the samples last; for image
    models a PNG grid, or with keep_every one line a snapshot, the samples last; a table; or, as they are made,
    server-sent events."""
    here = services(request)
    loaded = await find(request, name, version, needs="generate")
    detector = loaded.detector
    able = [*samples.offers(detector, JSON), events.EVENTS]
    media_type = answers.choose(request.headers.get("accept"), able)
    options = await read_only_options(request, GenerateRequest, here.settings)
    if options.n > here.settings.max_samples:
        raise limit_exceeded("n", options.n, here.settings.max_samples, "max_samples")
    samples.check_steps(options.n_steps or 1, here.settings)
    asked = options.model_dump(by_alias=False)

    def start() -> Any:
        steps = detector.generate_steps(**asked)
        return samples.bounded(steps, options.n, options.keep_every, detector, here.settings)

    counted = here.metrics.samples.labels(loaded.name, "generate")
    if media_type == events.EVENTS:

        def done(made: Generated) -> dict[str, Any]:
            counted.inc(options.n)
            document = _document(made, options, loaded)
            return {**document, "snapshots": None, **_picture(made.samples, detector)}

        followed = follow_steps(request, loaded, "generate", start)
        return await events.stream(request, followed, lambda at: _snapshot(at, detector), done)
    made: Generated = await run_steps(request, loaded, "generate", start)
    counted.inc(options.n)
    if media_type == JSON:
        return answers.json_answer(_document(made, options, loaded))
    content = samples.encode(
        made.samples if media_type in samples.TABLES else _everything(made),
        media_type,
        detector,
        per_line=None if made.snapshots is None else options.n,
    )
    return answers.binary_answer(content, media_type, loaded.name, loaded.version)


def _document(made: Generated, options: GenerateRequest, loaded: Loaded) -> dict[str, Any]:
    return {
        "model": loaded.name,
        "version": loaded.version,
        "columns": loaded.detector.columns,
        "seed": options.seed,
        "samples": answers.rows_of(made.samples),
        "snapshots": samples.rows_or_none(made.snapshots),
        **({"diagnostics": made.diagnostics} if made.diagnostics else {}),
    }


def _everything(made: Generated) -> np.ndarray:
    if made.snapshots is None:
        return made.samples
    return np.concatenate([made.snapshots, made.samples[None]])


def _snapshot(at: Progress, detector: Detector) -> dict[str, Any]:
    assert at.snapshot is not None
    return {"step": at.step, **(_picture(at.snapshot, detector) or {"samples": answers.rows_of(at.snapshot)})}


def _picture(images: Any, detector: Detector) -> dict[str, Any]:
    """A grid as a data URI, for image models."""
    if not samples.pictures(detector):
        return {}
    content = base64.b64encode(samples.encode(images, PNG, detector)).decode()
    return {"png": f"data:{PNG};base64,{content}"}
