"""Which column or pixel makes a row unusual, and what would be normal there."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from ebm.errors import Unsupported
from ebm.explanation import Explanation
from ebm.heat_map import heat_steps
from ebm.pictures import encode_png
from service import answers, samples
from service.bodies import IGNORE_UNKNOWN, JSON, PNG, ROWS, read_rows
from service.openapi import binary, body, parameters
from service.registry import Loaded
from service.routing import scoped, services, versioned
from service.schemas.explain import ExplainAnswer, ExplainOptions, ExplainRequest
from service.schemas.problems import problems
from service.work import find, run_steps

router = APIRouter(prefix="/v1", tags=["explanations"], route_class=scoped("score"))


@versioned(
    router,
    "explain",
    response_class=Response,
    responses={
        200: {"model": ExplainAnswer, "content": binary(PNG)},
        **problems(404, 406, 413, 415, 422, 429, 503, 504),
    },
    openapi_extra={
        "requestBody": body(ExplainRequest, *ROWS[1:]),
        "parameters": [*parameters(ExplainOptions, resize=True), IGNORE_UNKNOWN],
    },
)
async def explain(request: Request, name: str, version: str | None = None) -> Response:
    """Which column or pixel makes each row unusual, and its nearest normal version. For image models by `Accept` a PNG:
    the anomaly map over the picture, red where it is odd, or a grid of several."""
    settings = services(request).settings
    loaded = await find(request, name, version, needs="explain")
    detector = loaded.detector
    media_type = answers.choose(request.headers.get("accept"), [JSON, *samples.pictures(detector)])
    rows, options = await read_rows(
        request, detector, ExplainOptions, settings, settings.max_explain_rows, "max_explain_rows"
    )
    if options.method is not None and detector.kind != "image":
        raise Unsupported(f"method: model '{loaded.name}' has rows, not pictures")

    def start() -> Any:
        if media_type == PNG:
            return heat_steps(detector, rows.values, options.method)
        return detector.explain_steps(rows.values, sparse=options.sparse, method=options.method)

    found: Any = await run_steps(request, loaded, "explain", start)
    if media_type == PNG:
        return answers.binary_answer(encode_png(found.picture), PNG, loaded.name, loaded.version)
    return answers.json_answer(_document(found, options, loaded))


def _document(found: Explanation, options: ExplainOptions, loaded: Loaded) -> dict[str, Any]:
    versions = answers.rows_of(found.normal_version)
    return {
        "model": loaded.name,
        "version": loaded.version,
        "columns": loaded.detector.columns,
        "level": found.level,
        "rows": [
            {
                "energy": float(found.energy[i]),
                "p_value": float(found.p_value[i]),
                "normal_energy": float(found.normal_energy[i]),
                "contributions": None if found.size else _contributions(found, i, options.top),
                "heat_map": found.heat_map[i] if found.size else None,
                "anomaly_map": None if found.anomaly_map is None else found.anomaly_map[i],
                "map_method": found.map_method,
                "normal_version": versions[i],
                "changed": _changed(found, i),
            }
            for i in range(len(found.energy))
        ],
    }


def _contributions(found: Explanation, row: int, top: int | None) -> list[dict[str, Any]]:
    named = []
    for j in found.ranking[row].tolist()[:top]:
        amount = float(found.contributions[row, j])
        if amount != 0:
            value, normal = found.cell(row, j)
            named.append(
                {"column": found.name(j), "contribution": amount, "value": value, "normal_value": normal}
            )
    return named


def _changed(found: Explanation, row: int) -> Any:
    if found.size is not None:
        return found.changed[row].reshape(found.size)
    return [found.name(j) for j in np.flatnonzero(found.changed[row]).tolist()]
