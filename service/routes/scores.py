"""Energies, p-values and labels."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from service import answers, quick, score_columns
from service.binary import write_npy
from service.bodies import ARROW_STREAM, IGNORE_UNKNOWN, JSON, NPY, ROWS, read_rows
from service.openapi import binary, body, parameters
from service.routing import scoped, services, versioned
from service.schemas.problems import problems
from service.schemas.scores import ScoreAnswer, ScoreOptions, ScoreRequest
from service.work import find, score_rows

router = APIRouter(prefix="/v1", tags=["scores"], route_class=scoped("score"))
OFFERS = [JSON, NPY, ARROW_STREAM]


@versioned(
    router,
    "score",
    response_class=Response,
    responses={
        200: {"model": ScoreAnswer, "content": binary(NPY, ARROW_STREAM)},
        **problems(404, 406, 413, 415, 422, 429, 503, 504),
    },
    openapi_extra={
        "requestBody": body(ScoreRequest, *ROWS[1:]),
        "parameters": [*parameters(ScoreOptions, resize=True), IGNORE_UNKNOWN],
    },
)
async def score(request: Request, name: str, version: str | None = None) -> Response:
    """How unusual is each row? In columns, in the order sent; npy (a structured array) or Arrow by `Accept`."""
    loaded = await find(request, name, version)
    wanted = quick.usual(request, loaded)
    if wanted is not None:
        row, request = await quick.read(request, wanted)
        if row is not None:
            return await quick.answer(request, loaded, row)
    media_type = answers.choose(request.headers.get("accept"), OFFERS)
    settings = services(request).settings
    rows, options = await read_rows(
        request, loaded.detector, ScoreOptions, settings, settings.max_rows, "max_rows"
    )
    if len(rows.values):
        scores = await score_rows(request, loaded, rows.values, fpr=options.fpr, fdr=options.fdr)
    else:
        scores = score_columns.no_scores(options.fpr, options.fdr)
    if media_type == JSON:
        return answers.json_answer(score_columns.as_json(scores, rows, loaded))
    as_npy = media_type == NPY
    content = (
        write_npy(score_columns.as_table(scores, rows))
        if as_npy
        else score_columns.as_arrow(scores, rows, loaded)
    )
    return answers.binary_answer(
        content, media_type, loaded.name, loaded.version, Rows_Not_Scored=str(len(rows.errors))
    )
