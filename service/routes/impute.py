"""Missing cells and pixels, filled by what the model holds likely."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from ebm.errors import BadInput
from ebm.impute import Imputed
from service import answers, samples
from service.bodies import IGNORE_UNKNOWN, JSON, NPY, PNG, ROWS
from service.bodies.masked import MASKED_FORM, read_gappy_rows
from service.errors import limit_exceeded
from service.openapi import binary, body, parameters
from service.registry import Loaded
from service.routing import scoped, services, versioned
from service.schemas.impute import ImputeAnswer, ImputeOptions, ImputeRequest
from service.schemas.problems import problems
from service.work import find, run_steps

router = APIRouter(prefix="/v1", tags=["samples"], route_class=scoped("generate"))
REQUEST_BODY = body(ImputeRequest, *ROWS[1:])
REQUEST_BODY["content"] |= MASKED_FORM


@versioned(
    router,
    "impute",
    response_class=Response,
    responses={
        200: {"model": ImputeAnswer, "content": binary(NPY, PNG, *samples.TABLES)},
        **problems(404, 406, 413, 415, 422, 429, 503, 504),
    },
    openapi_extra={
        "requestBody": REQUEST_BODY,
        "parameters": [*parameters(ImputeOptions, resize=True), IGNORE_UNKNOWN],
    },
)
async def impute(request: Request, name: str, version: str | None = None) -> Response:
    """Rows with nulls, filled by the mean of draws from p(missing | observed); a category by its most frequent level.
    Missing is null in JSON and tables, NaN in npy, an empty cell in CSV; of pictures, a form's parts `image` and `mask`
    (not black: missing). Answers in the media type that came in, or another by `Accept`; with keep_draws npy is
    (n_draws + 1, n, ...), the filled rows last, and PNG has a line for each draw."""
    here = services(request)
    settings = here.settings
    loaded = await find(request, name, version, needs="impute")
    detector = loaded.detector
    rows, options = await read_gappy_rows(
        request, detector, ImputeOptions, settings, settings.max_impute_rows, "max_impute_rows"
    )
    media_type = answers.choose(request.headers.get("accept"), samples.offers(detector, rows.media_type))
    if options.n_draws > settings.max_draws:
        raise limit_exceeded("n_draws", options.n_draws, settings.max_draws, "max_draws")
    if options.keep_draws:
        if media_type in samples.TABLES:
            raise BadInput("keep_draws: one table holds one set of rows; accept application/json or npy")
        samples.check_values(options.n_draws + 1, len(rows.values), detector, settings)
    asked = options.model_dump()
    found: Imputed = await run_steps(
        request, loaded, "impute", lambda: detector.impute_steps(rows.values, **asked)
    )
    here.metrics.samples.labels(loaded.name, "impute").inc(len(rows.values))
    if media_type == JSON:
        return answers.json_answer(_document(found, options, loaded))
    everything: Any = found.rows
    if found.draws is not None:
        everything = np.stack([np.asarray(rows) for rows in (*found.draws, found.rows)])
    per_line = None if found.draws is None else len(rows.values)
    content = samples.encode(everything, media_type, detector, per_line=per_line)
    return answers.binary_answer(content, media_type, loaded.name, loaded.version)


def _document(found: Imputed, options: ImputeOptions, loaded: Loaded) -> dict[str, Any]:
    return {
        "model": loaded.name,
        "version": loaded.version,
        "columns": loaded.detector.columns,
        "seed": options.seed,
        "n_missing": int(found.missing.sum()),
        "filled": answers.rows_of(found.rows),
        "spread": found.spread,
        "draws": samples.rows_or_none(found.draws),
        "acceptance": found.acceptance,
    }
