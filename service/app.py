"""The application: `uvicorn --factory service.app:create_app`, or `ebm serve`."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import structlog
import torch
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from service import errors, headers, openapi, telemetry
from service.auth import Auth
from service.bodies.budget import Budget
from service.drift import Drift, DriftCollector
from service.engine import Engine
from service.jobs.job import JobStore
from service.jobs_http import JobAccess
from service.jobs_http.gauge import JobsCollector
from service.overload import Overload
from service.registry import Loaded, Registry
from service.routes import (
    classify,
    compare,
    compose,
    denoise,
    drift,
    explain,
    generate,
    health,
    impute,
    jobs,
    models,
    oip,
    oip_repository,
    scores,
)
from service.routing import Direct, DirectRoute, Services
from service.settings import Settings
from service.telemetry import tracing

CONSOLE = Path(__file__).parent / "console"
ROUTERS = [
    module.router
    for module in (
        health,
        models,
        scores,
        explain,
        denoise,
        impute,
        generate,
        compare,
        compose,
        classify,
        jobs,
        drift,
        oip,
        oip_repository,
    )
]
GC_THRESHOLDS = (20_000, 20, 20)
log = structlog.get_logger("service")


class App(FastAPI):
    """FastAPI behind a short way to the endpoints: measured, its own layers cost as much as a score."""

    services: Services
    overload: Overload
    front: ASGIApp | None = None

    async def behind(self, scope: Scope, receive: Receive, send: Send) -> None:
        """FastAPI itself: the page, the OpenAPI document, what is not found, and the start and the end."""
        await super().__call__(scope, receive, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"], scope["services"] = self, self.services
        await (self.front or self.behind)(scope, receive, send)


def create_app(settings: Settings | None = None, job_store: JobStore | None = None) -> App:
    """The service over the models in `settings.models_dir`, which are loaded when the app starts; `job_store` in place
    of the one that the settings mean."""
    settings = settings or Settings()
    telemetry.configure_logging(settings.log_level)
    metrics, lately = telemetry.Metrics(), Drift(settings.drift_window)
    metrics.add(DriftCollector(lately))
    registry, access = Registry.of(settings), JobAccess.of(settings, job_store)
    if access is not None:
        metrics.add(JobsCollector(access))

    def set_threads() -> None:
        # Holds for the thread that calls it, hence in the inference threads themselves.
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)

    def on_batch(loaded: Loaded, requests: int, anomaly_score: np.ndarray, p_value: np.ndarray) -> None:
        metrics.batch(loaded.name, requests, anomaly_score, p_value)
        lately.record(loaded, anomaly_score, p_value)

    engine = Engine(
        queue_size=settings.queue_size,
        queue_rows=settings.queue_rows,
        task_queue_size=settings.task_queue_size,
        active_tasks=settings.active_tasks,
        max_batch_rows=settings.max_batch_rows,
        inline_s=settings.inline_s,
        chunk_steps=settings.chunk_steps,
        on_start=set_threads,
        on_batch=on_batch,
        on_steps=metrics.steps.inc,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await registry.start()
        set_threads()  # the event loop scores, too, what takes no time
        engine.start()
        if access is not None:
            await access.start()
        log.info("started", models=len(registry.loaded), refused=len(registry.refused))
        # What is loaded now stays: the collector need not look through it again and again, nor after so few requests.
        gc.collect()
        gc.freeze()
        thresholds = gc.get_threshold()
        gc.set_threshold(*GC_THRESHOLDS)
        yield
        if access is not None:
            await access.stop()
        await run_in_threadpool(engine.stop, settings.drain_s)
        engine.watch.stop()
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        await registry.stop()
        log.info("stopped")

    # The stock documentation pages load scripts from elsewhere; /openapi.json is enough.
    app = App(title="EBM service", version=_version(), lifespan=lifespan, docs_url=None, redoc_url=None)
    app.services = Services(
        settings,
        registry,
        engine,
        metrics,
        Auth.of(settings),
        lately,
        Budget(settings.max_held_bytes),
        access,
    )
    app.overload = Overload(engine, metrics, settings.max_requests)
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, DirectRoute)]
    direct = headers.install(Direct(app.behind, routes), settings)
    watched = telemetry.RequestTelemetry(direct, metrics=metrics, settings=settings)
    app.front = tracing.install(watched, settings)
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    openapi.install(app, registry, routes, keys=bool(settings.api_keys or settings.api_keys_file))

    @app.get("/", include_in_schema=False)
    async def console() -> FileResponse:
        return FileResponse(CONSOLE / "index.html", headers=headers.PAGE)

    app.mount("/console", StaticFiles(directory=CONSOLE), name="console")
    return app


def _version() -> str:
    try:
        return version("ebm-service")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
