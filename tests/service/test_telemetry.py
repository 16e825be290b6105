"""Request ids, log lines, and failures that nobody foresaw."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from service import telemetry


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    telemetry.flush()
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_id_that_came_in_goes_out_and_into_the_log(
    serve: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    client = serve(log_level="info")
    answer = client.get("/v1/limits", headers={"x-request-id": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    (line,) = [line for line in logged(capsys) if line["event"] == "request"]
    assert line["request_id"] == "abc-1" and line["path"] == "/v1/limits" and line["status"] == 200


@pytest.mark.parametrize("given", ["a b", "x" * 129, "{}", "é"])
def test_an_id_that_could_forge_a_log_line_is_replaced(client: Any, given: str) -> None:
    answer = client.get("/healthz", headers={"x-request-id": given.encode()})
    assert len(answer.headers["x-request-id"]) == 32


def test_a_failure_is_a_500_that_tells_the_log_and_not_the_client(
    serve: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()

    def fail(*_: Any) -> Any:
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(client.app.services.registry, "versions", fail)
    answer = client.get("/v1/models", headers={"x-request-id": "r7"})
    assert answer.status_code == 500 and answer.headers["x-request-id"] == "r7"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text and answer.json()["request_id"] == "r7"
    (line,) = [line for line in logged(capsys) if line["event"] == "request_failed"]
    assert "the secret reason" in line["exception"] and line["request_id"] == "r7"


def test_a_full_queue_is_429_with_retry_after(serve: Callable[..., Any]) -> None:
    client = serve(queue_size=1)
    engine = client.app.services.engine
    engine.queue_size = 0
    answer = client.post("/v1/models/people/score", json={"instances": [[41, 3100, 1.75]]})
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
