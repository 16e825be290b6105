"""Which class, and whether it is any: for models with an energy for each class."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ebm.classify import Classified
from service import answers
from service.bodies import IGNORE_UNKNOWN, ROWS, read_rows
from service.openapi import body, parameters
from service.routing import scoped, services, versioned
from service.schemas.classify import ClassifyAnswer, ClassifyOptions, ClassifyRequest
from service.schemas.problems import problems
from service.work import find, run_steps

router = APIRouter(prefix="/v1", tags=["classes"], route_class=scoped("score"))


@versioned(
    router,
    "classify",
    response_class=Response,
    responses={200: {"model": ClassifyAnswer}, **problems(404, 413, 415, 422, 429, 503, 504)},
    openapi_extra={
        "requestBody": body(ClassifyRequest, *ROWS[1:]),
        "parameters": [*parameters(ClassifyOptions, resize=True), IGNORE_UNKNOWN],
    },
)
async def classify(request: Request, name: str, version: str | None = None) -> Response:
    """p(y given x) of each row, and E(x) beside it: a row of no class has a class too, but a small p-value."""
    settings = services(request).settings
    loaded = await find(request, name, version, needs="classify")
    rows, _ = await read_rows(
        request, loaded.detector, ClassifyOptions, settings, settings.max_rows, "max_rows"
    )
    found: Classified = await run_steps(
        request, loaded, "classify", lambda: loaded.detector.classify_steps(rows.values)
    )
    return answers.json_answer(
        {
            "model": loaded.name,
            "version": loaded.version,
            "higher_is_more_anomalous": True,
            "classes": found.classes,
            "label": found.label,
            "probabilities": found.probabilities,
            "energy": found.energy,
            "p_value": found.p_value,
            "non_finite": answers.non_finite(energy=found.energy),
        }
    )
