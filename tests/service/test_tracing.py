"""Traces: a span a request under the caller's, and one inside it for the inference; nothing where they are off."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from ebm.errors import BadConfig
from service import telemetry
from service.settings import Settings
from service.telemetry import tracing

ROW = {"instances": [[41, 3100, 1.75]]}
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def traced(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, Callable[[], dict[str, Any]]]:
    """A client of a traced app, and what was exported so far, by name."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(tracing, "_exporter", lambda _: exporter)
    client = serve(otel_endpoint="http://127.0.0.1:4318", log_level="info")

    def spans() -> dict[str, Any]:
        client.app.front.provider.force_flush()
        return {span.name: span for span in exporter.get_finished_spans()}

    return client, spans


def test_a_request_and_its_inference_are_spans_under_the_callers(
    traced: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    client, spans = traced
    assert (
        client.post(
            "/v1/models/people/score", json={**ROW, "fpr": 0.1}, headers={"traceparent": CALLER}
        ).status_code
        == 200
    )
    found = spans()
    server, inner = found["POST /v1/models/{name}/score"], found["inference"]
    assert server.kind is SpanKind.SERVER and server.resource.attributes["service.name"] == "ebm-service"
    assert format(server.context.trace_id, "032x") == CALLER.split("-")[1]
    assert format(server.parent.span_id, "016x") == CALLER.split("-")[2]
    assert inner.parent.span_id == server.context.span_id
    assert server.start_time <= inner.start_time <= inner.end_time <= server.end_time
    assert server.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/v1/models/{name}/score",
    }
    telemetry.flush()
    assert f'"trace_id":"{CALLER.split("-")[1]}"' in capsys.readouterr().err


def test_failures_are_marked_and_health_is_not_traced(traced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client, spans = traced

    def fail(*_: Any) -> Any:
        raise RuntimeError("no")

    assert client.get("/healthz").status_code == 200
    assert client.get("/v1/models/nobody", headers={"traceparent": "nonsense"}).status_code == 404
    monkeypatch.setattr(client.app.services.registry, "versions", fail)
    assert client.get("/v1/models").status_code == 500
    found = spans()
    assert found.keys() == {"GET /v1/models/{name}", "GET /v1/models"}
    assert found["GET /v1/models/{name}"].status.status_code is StatusCode.UNSET
    assert found["GET /v1/models/{name}"].attributes["error.type"] == "unknown-model"
    assert found["GET /v1/models"].status.status_code is StatusCode.ERROR


def test_without_an_address_there_is_nothing(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.VARIABLES:
        monkeypatch.delenv(name, raising=False)

    async def app(*_: Any) -> None: ...

    assert tracing.install(app, Settings()) is app
    assert not isinstance(client.app.front, tracing.Tracing)
    with tracing.inference({}) as span:
        assert span is None


@pytest.mark.parametrize(
    "given", ["http://collector:4318", "http://collector:4318/", "http://collector:4318/v1/traces"]
)
def test_the_address_is_the_collectors(given: str) -> None:
    exporter = tracing._exporter(given)
    assert exporter._endpoint == "http://collector:4318/v1/traces"  # type: ignore[attr-defined]
    exporter.shutdown()


def test_opentelemetrys_own_variable_does_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")

    async def app(*_: Any) -> None: ...

    found = tracing.install(app, Settings())
    assert isinstance(found, tracing.Tracing)
    found.provider.shutdown()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(BadConfig, match=r"ebm-service\[otel\]"):
        tracing._exporter("http://collector:4318")
