"""Whether the rows of late look like those of the calibration."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.answers import json_answer
from service.routing import scoped, services
from service.schemas.drift import DriftAnswer
from service.schemas.problems import problems

router = APIRouter(prefix="/v1", tags=["drift"], route_class=scoped("score"))


@router.get("/models/{name}/drift", response_model=DriftAnswer, responses=problems(404, 503))
async def drift(request: Request, name: str) -> Response:
    """Anomaly scores seen lately against the calibration: KS distance, PSI, share below p = 0.01; as metrics too."""
    return await _drift(request, name, None)


@router.get(
    "/models/{name}/versions/{version}/drift", response_model=DriftAnswer, responses=problems(404, 503)
)
async def drift_of_version(request: Request, name: str, version: str) -> Response:
    """The same of one version."""
    return await _drift(request, name, version)


async def _drift(request: Request, name: str, version: str | None) -> Response:
    here = services(request)
    loaded = await here.registry.get(name, version)
    lately = await run_in_threadpool(here.drift.report, loaded)
    report = lately.report
    workers = here.settings.workers
    since = None if lately.since is None else datetime.fromtimestamp(lately.since, UTC).isoformat()
    return json_answer(
        {
            "model": loaded.name,
            "version": loaded.version,
            "seen": lately.seen,
            "window": here.drift.window,
            "n": report.n,
            "n_infinite": report.n_infinite,
            "n_nan": report.n_nan,
            "since": since,
            "n_calibration": loaded.detector.calibration.n,
            "ks": report.ks and report.ks._asdict(),
            "psi": report.psi,
            "psi_by_chance": report.psi_by_chance,
            "below_p01": report.tail and {**report.tail._asdict(), "expected": report.tail_expected},
            "mean_p": report.mean_p,
            "state": report.state,
            "verdict": report.verdict,
            "note": f"of this worker process alone, one of {workers}" if workers > 1 else None,
        }
    )
