"""The likely clean version of noisy rows and pictures."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service import answers, samples
from service.bodies import IGNORE_UNKNOWN, JSON, NPY, PNG, ROWS, read_rows
from service.engine.tasks import Merge
from service.openapi import binary, body, parameters
from service.routing import scoped, services, versioned
from service.schemas.denoise import DenoiseAnswer, DenoiseOptions, DenoiseRequest
from service.schemas.problems import problems
from service.work import find, run_steps

router = APIRouter(prefix="/v1", tags=["samples"], route_class=scoped("generate"))


@versioned(
    router,
    "denoise",
    response_class=Response,
    responses={
        200: {"model": DenoiseAnswer, "content": binary(NPY, PNG, *samples.TABLES)},
        **problems(404, 406, 413, 415, 422, 429, 503, 504),
    },
    openapi_extra={
        "requestBody": body(DenoiseRequest, *ROWS[1:]),
        "parameters": [*parameters(DenoiseOptions, resize=True), IGNORE_UNKNOWN],
    },
)
async def denoise(request: Request, name: str, version: str | None = None) -> Response:
    """The likely clean version of each row, in the media type it came in (of JPEG: PNG), or another by `Accept`."""
    settings = services(request).settings
    loaded = await find(request, name, version, needs="denoise")
    detector = loaded.detector
    rows, options = await read_rows(
        request, detector, DenoiseOptions, settings, settings.max_denoise_rows, "max_denoise_rows"
    )
    media_type = answers.choose(request.headers.get("accept"), samples.offers(detector, rows.media_type))
    samples.check_steps(options.n_steps or 1, settings)
    asked = options.model_dump()

    def start(values: Any) -> Any:
        return detector.denoise_steps(values, **asked)

    merge = None
    if options.method == "posterior_mean":  # draws depend on the rows beside them
        key = (id(detector), "denoise", options.noise, options.sigma, options.n_steps)
        merge = Merge(key, rows.values, start)
    clean = await run_steps(request, loaded, "denoise", lambda: start(rows.values), merge=merge)
    services(request).metrics.samples.labels(loaded.name, "denoise").inc(len(clean))
    if media_type != JSON:
        content = samples.encode(clean, media_type, detector)
        return answers.binary_answer(content, media_type, loaded.name, loaded.version)
    return answers.json_answer(
        {
            "model": loaded.name,
            "version": loaded.version,
            "columns": detector.columns,
            "denoised": answers.rows_of(clean),
        }
    )
