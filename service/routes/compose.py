"""Several models on one input space as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ebm.answers import Generated
from ebm.compose import ComposedScores, Composition
from service import answers, samples
from service.bodies import JSON, NPY, PNG, media, read_body, read_document, read_only_options, read_options
from service.bodies.options import query_of
from service.bodies.rows import INLINE_CELLS_BYTES
from service.errors import limit_exceeded
from service.openapi import binary, body
from service.openapi.operations import TIMEOUT
from service.registry import Loaded
from service.routing import scoped, services
from service.schemas.compose import (
    ComposeGenerateAnswer,
    ComposeGenerateRequest,
    ComposeScoreAnswer,
    ComposeScoreOptions,
    ComposeScoreRequest,
    Term,
)
from service.schemas.problems import problems
from service.terms import find_terms, rows_for_each, score_each
from service.work import run_steps

router = APIRouter(prefix="/v1/compose", tags=["compositions"])
PROBLEMS = problems(404, 413, 415, 422, 429, 503, 504)


async def score(request: Request) -> Response:
    """How unusual is each row by several models together? Each model's own numbers beside the whole."""
    settings = services(request).settings
    content = await read_body(request, settings.max_body_bytes, settings.max_decompressed_bytes)
    media.media_type(request, (JSON,))
    small = len(content) <= INLINE_CELLS_BYTES
    document = read_document(content) if small else await run_in_threadpool(read_document, content)
    rows = {key: document.pop(key) for key in ("instances", "records", "ignore_unknown") if key in document}
    options = read_options(document, query_of(request), ComposeScoreOptions)
    models = await find_terms(request, options.terms, needs="score")
    composition = _composition(models, options.terms, options.mode, options.scale, options.temperature)
    parts = rows, composition.detectors, settings
    values = rows_for_each(*parts) if small else await run_in_threadpool(rows_for_each, *parts)
    scores = await score_each(request, models, values)
    found = composition.combine(scores, fpr=options.fpr, fdr=options.fdr)
    return answers.json_answer(_as_json(found, composition))


def _as_json(found: ComposedScores, composition: Composition) -> dict[str, Any]:
    return {
        "mode": composition.mode,
        "scale": composition.scale,
        "temperature": composition.temperature,
        "higher_is_more_anomalous": True,
        "fpr": found.fpr,
        "fdr": found.fdr,
        "energy": found.energy,
        "anomaly_score": found.energy,
        "p_value": found.p_value,
        "is_anomaly": found.is_anomaly,
        "rank": found.rank,
        "terms": [
            {
                "model": term.name,
                "version": term.version,
                "weight": term.weight,
                "energy": term.energy,
                "anomaly_score": term.anomaly_score,
                "p_value": term.p_value,
            }
            for term in found.terms
        ],
        "non_finite": answers.non_finite(energy=found.energy),
        "note": found.note,
    }


async def generate(request: Request) -> Response:
    """New samples of several models together: Langevin dynamics on the weighted sum of their energies, or (either) each
    sample by one model's own sampler. By `Accept`: JSON, npy or PNG, as of one model."""
    settings = services(request).settings
    options = await read_only_options(request, ComposeGenerateRequest, settings)
    samples.check_steps(options.n_steps or 1, settings)
    models = await find_terms(request, options.terms, needs="generate")
    composition = _composition(models, options.terms, options.mode)
    first = composition.detectors[0]
    media_type = answers.choose(request.headers.get("accept"), samples.offers(first, JSON))
    if options.n > settings.max_samples:
        raise limit_exceeded("n", options.n, settings.max_samples, "max_samples")
    chain = options.model_dump(exclude={"terms", "mode"})
    made: Generated = await run_steps(
        request,
        models[0],
        "compose/generate",
        lambda: samples.bounded(
            composition.generate_steps(**chain), options.n, options.keep_every, first, settings
        ),
    )
    if media_type == JSON:
        return answers.json_answer(
            {
                "mode": options.mode,
                "terms": [
                    {"model": one.name, "version": one.version, "weight": term.weight}
                    for one, term in zip(models, options.terms, strict=True)
                ],
                "columns": first.columns,
                "seed": options.seed,
                "samples": answers.rows_of(made.samples),
                "snapshots": samples.rows_or_none(made.snapshots),
            }
        )
    return _binary(made, media_type, options.n, models)


def _composition(
    models: Sequence[Loaded],
    terms: Sequence[Term],
    mode: Any,
    scale: Any = "standardised",
    temperature: float = 1.0,
) -> Composition:
    weights = [term.weight for term in terms]
    detectors = [one.detector for one in models]
    return Composition(detectors, weights, mode=mode, scale=scale, temperature=temperature)


def _binary(made: Generated, media_type: str, n: int, models: Sequence[Loaded]) -> Response:
    """(n, ...), or as npy and PNG with snapshots (k + 1, n, ...), the samples last."""
    everything, per_line = made.samples, None
    if made.snapshots is not None and media_type not in samples.TABLES:
        everything, per_line = np.concatenate([made.snapshots, made.samples[None]]), n
    content = samples.encode(everything, media_type, models[0].detector, per_line=per_line)
    names, versions = (" ".join(getattr(one, field) for one in models) for field in ("name", "version"))
    return answers.binary_answer(content, media_type, names, versions)


router.add_api_route(
    "/score",
    score,
    methods=["POST"],
    response_class=Response,
    responses={200: {"model": ComposeScoreAnswer}, **PROBLEMS},
    openapi_extra={"requestBody": body(ComposeScoreRequest), "parameters": [TIMEOUT]},
    route_class_override=scoped("score"),
)
router.add_api_route(
    "/generate",
    generate,
    methods=["POST"],
    response_class=Response,
    responses={
        200: {"model": ComposeGenerateAnswer, "content": binary(NPY, *samples.TABLES, PNG)},
        **problems(406),
        **PROBLEMS,
    },
    openapi_extra={"requestBody": body(ComposeGenerateRequest), "parameters": [TIMEOUT]},
    route_class_override=scoped("generate"),
)
