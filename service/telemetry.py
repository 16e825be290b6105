"""Logs as JSON lines, an id on every request, and Prometheus metrics."""

from __future__ import annotations

import logging
import re
import sys
import time
import uuid
from typing import Any

import numpy as np
import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import errors

log = structlog.get_logger("service.http")
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
QUIET = {"/healthz", "/readyz", "/metrics"}


def configure_logging(level: str) -> None:
    """One JSON object a line on standard error, with the request's id where there is a request."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Looked up at each use: a stream bound once may have been replaced, and closed, since.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


class Metrics:
    """The metrics of one app, in a registry of its own, so that two apps in one process do not collide."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        ProcessCollector(registry=r)
        PlatformCollector(registry=r)
        self.requests = Counter(
            "ebm_http_requests", "Answers by route and status", ["method", "route", "status"], registry=r
        )
        self.seconds = Histogram(
            "ebm_http_request_seconds", "Time to answer", ["method", "route"], registry=r
        )
        self.rows = Counter("ebm_scored_rows", "Rows scored", ["model"], registry=r)
        self.anomalies = Counter("ebm_anomalous_rows", "Rows labelled anomalous", ["model"], registry=r)
        self.non_finite = Counter(
            "ebm_non_finite_rows", "Rows whose energy was NaN or infinite", ["model"], registry=r
        )
        self.samples = Counter("ebm_samples", "Rows denoised or generated", ["model", "task"], registry=r)
        self.batch_requests = Histogram(
            "ebm_batch_requests",
            "Requests joined into one batch",
            registry=r,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
        )
        self.batch_rows = Histogram(
            "ebm_batch_rows", "Rows of one batch", registry=r, buckets=(1, 4, 16, 64, 256, 1024, 4096, 16384)
        )
        self.steps = Counter("ebm_task_steps", "Sampler steps of long tasks", registry=r)
        self.long_calls = Histogram(
            "ebm_long_call_seconds", "Time from asking to answer", ["model", "operation"], registry=r
        )
        self.queue = Gauge("ebm_queue_depth", "Requests waiting or under way", ["sort"], registry=r)
        self.models = Gauge("ebm_models", "Model versions by state", ["state"], registry=r)

    def batch(self, model: str, requests: int, anomaly_score: np.ndarray, p_value: np.ndarray) -> None:
        self.batch_requests.observe(requests)
        self.batch_rows.observe(len(anomaly_score))


class RequestTelemetry:
    """ASGI middleware: an id, a log line and metrics for each request; failures become problem documents."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception as error:
            log.exception("request_failed", path=scope["path"])
            if status:  # the answer is half sent: nothing can be said any more
                raise
            await errors.render(error, scope["path"], request_id)(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # The template, not the path: a path is the client's to choose, and each label value costs memory.
        route: Any = scope.get("route")
        template = getattr(route, "path", None) or "unmatched"
        method = scope["method"] if template != "unmatched" else "any"
        self.metrics.requests.labels(method, template, str(status)).inc()
        self.metrics.seconds.labels(method, template).observe(seconds)
        level = log.debug if scope["path"] in QUIET else log.info
        level(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 2),
        )


def _request_id(scope: Scope) -> str:
    for key, value in scope["headers"]:
        if key == b"x-request-id":
            text = value.decode("latin-1")
            # Anything else could forge log lines or headers.
            if ACCEPTABLE_ID.fullmatch(text):
                return text
    return uuid.uuid4().hex
