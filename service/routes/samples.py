"""Denoised rows and new samples: long tasks that the inference thread advances by turns."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from ebm.detector import Detector, Generated, Progress
from service import answers
from service.binary import write_npy, write_png
from service.bodies import JPEG, JSON, NPY, PNG, read_only_options, read_rows
from service.dependencies import EngineDep, LoadedDep, MetricsDep, SettingsDep, TimeoutDep, require
from service.errors import limit_exceeded
from service.openapi import binary, body, parameters
from service.schemas.problems import problems
from service.schemas.samples import (
    DenoiseAnswer,
    DenoiseOptions,
    DenoiseRequest,
    GenerateAnswer,
    GenerateRequest,
)
from service.settings import Settings
from service.work import wait_for

router = APIRouter(prefix="/v1", tags=["samples"])
PROBLEMS = problems(404, 406, 413, 415, 422, 429, 503, 504)


@router.post(
    "/models/{name}/denoise",
    response_class=Response,
    responses={200: {"model": DenoiseAnswer, "content": binary(NPY, PNG)}, **PROBLEMS},
    openapi_extra={
        "requestBody": body(DenoiseRequest, NPY, PNG, JPEG),
        "parameters": parameters(DenoiseOptions, resize=True),
    },
)
async def denoise(
    request: Request,
    loaded: LoadedDep,
    engine: EngineDep,
    settings: SettingsDep,
    metrics: MetricsDep,
    timeout_s: TimeoutDep,
) -> Response:
    """The likely clean version of each row, in the media type it came in, or another by `Accept`."""
    require(loaded, "denoise")
    detector = loaded.detector
    rows, options = await read_rows(
        request, detector, DenoiseOptions, settings, settings.max_denoise_rows, "max_denoise_rows"
    )
    came_in = PNG if rows.media_type == JPEG else rows.media_type
    media_type = answers.choose(request.headers.get("accept"), _offers(detector, came_in))
    _check_steps(options.n_steps, settings)
    task = engine.submit_steps(
        lambda: detector.denoise_steps(rows.values, sigma=options.sigma, n_steps=options.n_steps),
        timeout_s=timeout_s,
    )
    clean: np.ndarray = await wait_for(request, task, engine)
    metrics.samples.labels(loaded.name, "denoise").inc(len(clean))
    if media_type == NPY:
        return answers.binary_answer(write_npy(clean), NPY, loaded.name, loaded.version)
    if media_type == PNG:
        picture = write_png(clean, detector.preprocessor.schema())
        return answers.binary_answer(picture, PNG, loaded.name, loaded.version)
    return answers.json_answer(
        {
            "model": loaded.name,
            "version": loaded.version,
            "columns": detector.columns,
            "denoised": answers.rows_of(clean),
        }
    )


@router.post(
    "/models/{name}/generate",
    response_class=Response,
    responses={200: {"model": GenerateAnswer, "content": binary(NPY, PNG)}, **PROBLEMS},
    openapi_extra={"requestBody": body(GenerateRequest), "parameters": parameters(GenerateRequest)},
)
async def generate(
    request: Request,
    loaded: LoadedDep,
    engine: EngineDep,
    settings: SettingsDep,
    metrics: MetricsDep,
    timeout_s: TimeoutDep,
) -> Response:
    """New samples. By `Accept`: JSON; npy, (n, ...) or with keep_every (k + 1, n, ...), the samples last; for
    image models a PNG grid, or with keep_every one line a snapshot, the samples last."""
    require(loaded, "generate")
    detector = loaded.detector
    media_type = answers.choose(request.headers.get("accept"), _offers(detector, JSON))
    options = await read_only_options(request, GenerateRequest, settings)
    if options.n > settings.max_samples:
        raise limit_exceeded("n", options.n, settings.max_samples, "max_samples")
    _check_steps(options.n_steps or 1, settings)
    task = engine.submit_steps(
        lambda: bounded(detector.generate_steps(**options.model_dump()), options, detector, settings),
        timeout_s=timeout_s,
    )
    made: Generated = await wait_for(request, task, engine)
    metrics.samples.labels(loaded.name, "generate").inc(options.n)
    if media_type == JSON:
        return answers.json_answer(
            {
                "model": loaded.name,
                "version": loaded.version,
                "columns": detector.columns,
                "seed": options.seed,
                "samples": answers.rows_of(made.samples),
                "snapshots": _snapshots(made),
            }
        )
    everything = made.samples
    if made.snapshots is not None:
        everything = np.concatenate([made.snapshots, made.samples[None]])
    if media_type == NPY:
        content = write_npy(everything)
    elif made.snapshots is None:
        content = write_png(everything, detector.preprocessor.schema())
    else:
        flat = everything.reshape(-1, *detector.input_shape)
        content = write_png(flat, detector.preprocessor.schema(), per_line=options.n)
    return answers.binary_answer(content, media_type, loaded.name, loaded.version)


def bounded(
    steps: Generator[Progress, None, Any], options: GenerateRequest, detector: Detector, settings: Settings
) -> Generator[Progress, None, Any]:
    """`steps`, refused after the first where the whole is over a limit: before, its length is unknown."""
    first = next(steps)
    if first.n_total > settings.max_steps:
        raise limit_exceeded("steps in all", first.n_total, settings.max_steps, "max_steps")
    states = 1 + (first.n_total // options.keep_every if options.keep_every else 0)
    values = states * options.n * math.prod(detector.input_shape)
    if values > settings.max_values:
        raise limit_exceeded("numbers in the answer", values, settings.max_values, "max_values")
    yield first
    return (yield from steps)


def _check_steps(n_steps: int, settings: Settings) -> None:
    if n_steps > settings.max_steps:
        raise limit_exceeded("n_steps", n_steps, settings.max_steps, "max_steps")


def _snapshots(made: Generated) -> Any:
    """An array, or rows of cells for each table."""
    kept = made.snapshots
    return kept if kept is None or isinstance(kept, np.ndarray) else [answers.rows_of(one) for one in kept]


def _offers(detector: Detector, first: str) -> list[str]:
    """Media types of an answer, the default first."""
    if getattr(detector.preprocessor, "frame", False):
        return [JSON]  # cells that are not all numbers
    pictures = [PNG] if detector.kind == "image" and detector.preprocessor.shape[0] in (1, 3) else []
    return [first, *(other for other in (JSON, NPY, *pictures) if other != first)]
