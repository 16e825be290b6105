"""OpenTelemetry traces, where an OTLP address is configured: one span a request, and one for its wait and inference.

The packages of the extra `otel` are imported only then.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ebm.errors import BadConfig
from service.settings import Settings
from service.telemetry.requests import QUIET

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

# As OpenTelemetry names them; its other variables (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, ...) hold too.
VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORT_TIMEOUT_S = 5
_NOTHING = nullcontext()


def install(app: ASGIApp, settings: Settings, exporter: SpanExporter | None = None) -> ASGIApp:
    """`app` with its requests traced, where `settings.otel_endpoint` or OpenTelemetry's own variable is set. Around
    RequestTelemetry, so that its lines carry the trace's id.

    Raises:
        BadConfig: the extra is not installed.
    """
    if exporter is None:
        if not (settings.otel_endpoint or any(os.environ.get(name) for name in VARIABLES)):
            return app
        exporter = _exporter(settings.otel_endpoint)
    return Tracing(app, exporter)


def inference(scope: Mapping[str, Any], name: str = "inference") -> AbstractContextManager[Any]:
    """A span inside that of the request: its wait in the queue and its computation. Nothing where traces are off."""
    trace = scope.get("trace")
    return _NOTHING if trace is None else trace.child(name)


class _Trace:
    """The span of one request."""

    def __init__(self, tracer: Any, span: Any):
        self.tracer, self.span = tracer, span

    def child(self, name: str) -> AbstractContextManager[Any]:
        from opentelemetry.trace import set_span_in_context

        return self.tracer.start_as_current_span(name, context=set_span_in_context(self.span))


class Tracing:
    """ASGI middleware, the outermost: a server span for each request, under the caller's `traceparent`."""

    def __init__(self, app: ASGIApp, exporter: SpanExporter):
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.app = app
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "ebm-service"}
        self.provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self.provider.get_tracer("service")
        self.propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            try:
                await self.app(scope, receive, send)
            finally:
                await asyncio.to_thread(self.provider.shutdown)  # sends what waits
        elif scope["type"] != "http" or scope["path"] in QUIET:
            await self.app(scope, receive, send)
        else:
            await self._traced(scope, receive, send)

    async def _traced(self, scope: Scope, receive: Receive, send: Send) -> None:
        from opentelemetry.trace import SpanKind, StatusCode

        came = {k.decode(): v.decode("latin-1") for k, v in scope["headers"] if k.startswith(b"trace")}
        span = self.tracer.start_span(
            scope["method"], context=self.propagator.extract(came), kind=SpanKind.SERVER
        )
        scope["trace"] = _Trace(self.tracer, span)
        scope["trace_id"] = format(span.get_span_context().trace_id, "032x")
        status = 0

        async def send_watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_watched)
        finally:
            route = getattr(scope.get("route"), "path", None)
            span.set_attribute("http.request.method", scope["method"])
            span.set_attribute("http.response.status_code", status)
            if route is not None:
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)
            if status >= 500 or status == 0:
                span.set_status(StatusCode.ERROR)
            if "problem" in scope:
                span.set_attribute("error.type", scope["problem"])
            span.end()


def _exporter(endpoint: str | None) -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise BadConfig("EBM_OTEL_ENDPOINT: traces need the extra: pip install 'ebm-service[otel]'") from None
    if endpoint is None:
        return OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S)
    # As with OpenTelemetry's own variable, the address is that of the collector.
    path = "/v1/traces"
    address = endpoint.rstrip("/")
    return OTLPSpanExporter(address if address.endswith(path) else address + path, timeout=EXPORT_TIMEOUT_S)
