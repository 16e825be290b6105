"""Several models on one input space as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ebm.answers import Generated
from ebm.compose import ComposedScores, Composition
from ebm.steps import Progress, Steps
from service import answers
from service.binary import write_npy, write_png
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
from service.settings import Settings
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
    models = await find_terms(request, options.terms, needs="generate")
    composition = _composition(models, options.terms, options.mode)
    media_type = answers.choose(request.headers.get("accept"), _offers(composition))
    if options.n > settings.max_samples:
        raise limit_exceeded("n", options.n, settings.max_samples, "max_samples")
    chain = options.model_dump(exclude={"terms", "mode"})
    made: Generated = await run_steps(
        request,
        models[0],
        "compose/generate",
        lambda: _bounded(composition.generate_steps(**chain), options, composition, settings),
    )
    if media_type == JSON:
        return answers.json_answer(
            {
                "mode": options.mode,
                "terms": [
                    {"model": one.name, "version": one.version, "weight": term.weight}
                    for one, term in zip(models, options.terms, strict=True)
                ],
                "columns": composition.detectors[0].columns,
                "seed": options.seed,
                "samples": answers.rows_of(made.samples),
                "snapshots": _snapshots(made.snapshots),
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


def _bounded(
    steps: Steps[Progress, None, Generated],
    options: ComposeGenerateRequest,
    composition: Composition,
    settings: Settings,
) -> Steps[Progress, None, Generated]:
    """`steps`, refused after the first where the whole is over a limit: before, its length is unknown."""
    first = next(steps)
    in_all = first.n_total * (len(composition.detectors) if options.mode == "product" else 1)
    if in_all > settings.max_steps:
        raise limit_exceeded("steps of all models", in_all, settings.max_steps, "max_steps")
    states = 1 + (first.n_total // options.keep_every if options.keep_every else 0)
    values = states * options.n * math.prod(composition.detectors[0].input_shape)
    if values > settings.max_values:
        raise limit_exceeded("numbers in the answer", values, settings.max_values, "max_values")
    yield first
    return (yield from steps)


def _offers(composition: Composition) -> list[str]:
    detector = composition.detectors[0]
    if any(getattr(d.preprocessor, "frame", False) for d in composition.detectors):
        return [JSON]  # cells that are not all numbers
    pictures = [PNG] if detector.kind == "image" and detector.preprocessor.shape[0] in (1, 3) else []
    return [JSON, NPY, *pictures]


def _snapshots(kept: Any) -> Any:
    return kept if kept is None or isinstance(kept, np.ndarray) else [answers.rows_of(one) for one in kept]


def _binary(made: Generated, media_type: str, n: int, models: Sequence[Loaded]) -> Response:
    """(n, ...), or with snapshots (k + 1, n, ...), the samples last; as a picture one line a snapshot."""
    detector = models[0].detector
    everything, per_line = made.samples, None
    if made.snapshots is not None:
        everything = np.concatenate([made.snapshots, made.samples[None]])
        per_line = n
    if media_type == NPY:
        content = write_npy(everything)
    else:
        flat = everything.reshape(-1, *detector.input_shape)
        content = write_png(flat, detector.preprocessor.schema(), per_line=per_line)
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
        200: {"model": ComposeGenerateAnswer, "content": binary(NPY, PNG)},
        **problems(406),
        **PROBLEMS,
    },
    openapi_extra={"requestBody": body(ComposeGenerateRequest), "parameters": [TIMEOUT]},
    route_class_override=scoped("generate"),
)
