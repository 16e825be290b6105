"""Energies, p-values and labels."""

from __future__ import annotations

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from ebm.detector import Scores
from service import answers
from service.binary import write_npy
from service.bodies import JPEG, JSON, NPY, PNG, read_rows
from service.dependencies import EngineDep, LoadedDep, MetricsDep, SettingsDep, TimeoutDep
from service.openapi import binary, body, parameters
from service.schemas.problems import problems
from service.schemas.scores import ScoreAnswer, ScoreOptions, ScoreRequest
from service.work import wait_for

router = APIRouter(prefix="/v1", tags=["scores"])
FIELDS = ("energy", "anomaly_score", "p_value", "is_anomaly", "rank")


@router.post(
    "/models/{name}/score",
    response_class=Response,
    responses={
        200: {"model": ScoreAnswer, "content": binary(NPY)},
        **problems(404, 413, 415, 422, 429, 503, 504),
    },
    openapi_extra={
        "requestBody": body(ScoreRequest, NPY, PNG, JPEG),
        "parameters": parameters(ScoreOptions, resize=True),
    },
)
async def score(
    request: Request,
    loaded: LoadedDep,
    engine: EngineDep,
    settings: SettingsDep,
    metrics: MetricsDep,
    timeout_s: TimeoutDep,
) -> Response:
    """How unusual is each row? In columns, in the order sent; npy (a structured array) by `Accept`."""
    media_type = answers.choose(request.headers.get("accept"), [JSON, NPY])
    rows, options = await read_rows(
        request, loaded.detector, ScoreOptions, settings, settings.max_rows, "max_rows"
    )
    task = engine.submit_score(
        loaded.detector, rows.values, timeout_s=timeout_s, model=loaded, fpr=options.fpr, fdr=options.fdr
    )
    scores: Scores = await wait_for(request, task, engine)
    non_finite = answers.non_finite(energy=scores.energy, anomaly_score=scores.anomaly_score)
    metrics.rows.labels(loaded.name).inc(len(rows.values))
    metrics.anomalies.labels(loaded.name).inc(int(scores.is_anomaly.sum()))
    metrics.non_finite.labels(loaded.name).inc(len({one["row"] for one in non_finite}))
    if media_type == NPY:
        table = np.empty(len(scores.energy), [(field, getattr(scores, field).dtype) for field in FIELDS])
        for field in FIELDS:
            table[field] = getattr(scores, field)
        return answers.binary_answer(write_npy(table), NPY, loaded.name, loaded.version)
    return answers.json_answer(
        {
            "model": loaded.name,
            "version": loaded.version,
            "higher_is_more_anomalous": True,
            "fpr": scores.fpr,
            "fdr": scores.fdr,
            **{field: np.ascontiguousarray(getattr(scores, field)) for field in FIELDS},
            "non_finite": non_finite,
            "note": scores.note,
        }
    )
