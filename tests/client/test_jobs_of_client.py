"""Jobs are asked for as the API describes them; this server has no such routes yet, so it is a function here."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest

from ebm.client import NotFound

JOB = {"id": "a/1", "state": "queued"}


def test_a_job_is_submitted_under_a_key_that_retries_keep(call: Any) -> None:
    answers = iter([httpx.Response(503), httpx.Response(202, json=JOB)])
    options = {"fpr": 0.01}
    found = call(
        lambda _: next(answers), "submit_job", "score", "pumps", "in.parquet", "out.parquet", options=options
    )
    assert found == JOB
    first, second = call.sent
    assert first.url.path == "/v1/jobs" and first.method == "POST"
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"] != ""
    assert orjson.loads(first.content) == {
        "kind": "score",
        "model": "pumps",
        "input": "in.parquet",
        "output": "out.parquet",
        "options": options,
    }
    call(lambda _: httpx.Response(202, json=JOB), "submit_job", "generate", "pumps", idempotency_key="mine")
    assert call.sent[-1].headers["Idempotency-Key"] == "mine"
    assert orjson.loads(call.sent[-1].content) == {"kind": "generate", "model": "pumps"}


def test_a_job_is_looked_at_fetched_and_stopped(call: Any) -> None:
    assert call(lambda _: httpx.Response(200, json=[JOB]), "jobs") == [JOB]
    assert call(lambda _: httpx.Response(200, json=JOB), "job", "a/1") == JOB
    assert call(lambda _: httpx.Response(200, content=b"PAR1"), "job_result", "a/1") == b"PAR1"
    assert call(lambda _: httpx.Response(204), "cancel_job", "a/1") is None
    sent = [(request.method, request.url.raw_path.decode()) for request in call.sent]
    path = "/v1/jobs/a%2F1"
    assert sent == [("GET", "/v1/jobs"), ("GET", path), ("GET", f"{path}/result"), ("DELETE", path)]


def test_a_server_without_jobs_says_so(call: Any) -> None:
    with pytest.raises(NotFound):
        call(lambda _: httpx.Response(404), "submit_job", "score", "pumps")
