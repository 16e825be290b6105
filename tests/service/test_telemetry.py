"""Request ids, log lines, and failures that nobody foresaw."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from service import telemetry
from service.telemetry import logs


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


@pytest.mark.parametrize(("access_log", "statuses"), [("all", [200, 404]), ("errors", [404]), ("none", [])])
def test_which_requests_get_a_line(
    serve: Callable[..., Any], capsys: pytest.CaptureFixture[str], access_log: str, statuses: list[int]
) -> None:
    client = serve(log_level="info", access_log=access_log)
    for path in ("/v1/limits", "/v1/models/nobody", "/healthz"):
        client.get(path)
    lines = [line for line in logged(capsys) if line["event"] == "request"]
    assert [line["status"] for line in lines] == statuses
    assert all(line.get("problem") == "unknown-model" for line in lines if line["status"] == 404)


def test_a_line_shows_neither_payload_nor_query_nor_a_path_without_end(
    serve: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    client = serve(log_level="debug")
    body = {"instances": [["my secret"]]}
    client.post("/v1/models/people/score?fpr=secret2", json=body, headers={"X-API-Key": "secret3"})
    client.get("/v1/models/" + "x" * 5000)
    text = json.dumps(logged(capsys))
    assert "secret" not in text and "x" * 100 in text and "x" * 300 not in text


def test_frequent_lines_wait_and_leave_in_order_before_a_rare_one(capsys: pytest.CaptureFixture[str]) -> None:
    lines = logs.Lines()
    lines._due.set()  # as if its thread were asleep
    for i in range(3):
        lines.later(b"%d\n" % i)
    assert capsys.readouterr().err == ""
    lines.now(b"rare\n")
    assert capsys.readouterr().err == "0\n1\n2\nrare\n"


def test_lines_leave_by_themselves_after_a_moment(capfd: pytest.CaptureFixture[str]) -> None:
    lines = logs.Lines()
    lines.later(b"by itself\n")
    found = ""
    until = time.monotonic() + 60
    while "by itself" not in found and time.monotonic() < until:
        time.sleep(0.01)
        found += capfd.readouterr().err
    assert "by itself" in found


def test_pieces_that_leave_together_stay_whole_among_those_of_other_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(logs, "_write", written.append)
    lines = logs.Lines()
    lines._due.set()
    for _ in range(100):
        lines.later(b"x" * 199 + b"\n")
    lines.later(b"y" * 5000 + b"\n")
    lines.flush()
    assert all(len(piece) <= logs.ATOMIC_BYTES or piece.count(b"\n") == 1 for piece in written)
    assert len(written) < 10 and b"".join(written).count(b"\n") == 101


def test_where_nobody_reads_lines_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "MOST_WAITING", 2)
    lines = logs.Lines()
    lines._due.set()
    for _ in range(5):
        lines.later(b"{}\n")
    lines.flush()
    assert json.loads(capsys.readouterr().err.splitlines()[-1]) == {"event": "lines_dropped", "lines": 3}


def test_a_log_that_cannot_be_written_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, _: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Closed())
    logs.Lines().now(b"lost\n")


def test_text_that_is_none_is_logged_all_the_same() -> None:
    assert json.loads(logs.dumps({"path": "/\ud800", "status": 404})) == {"path": "/?", "status": "404"}


def test_what_uvicorn_says_is_json_too(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "uvicorn.error")  # a server of another test may have raised it
    telemetry.configure_logging("info")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    (line,) = logged(capsys)
    assert line["message"] == "Invalid HTTP request received." and line["level"] == "warning"
