"""What is sent again, when, and for how long: without a second of real waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from ebm.client import (
    BadRequest,
    Busy,
    Client,
    DeadlinePassed,
    ModelRefused,
    NoAnswer,
    Problem,
    Retries,
    TimedOut,
    Unavailable,
)
from ebm.client.errors import retry_after

READY = {"status": "ready", "models": 1, "refused": 0, "queue": {}}


def answers(*steps: int | dict[str, Any] | Exception) -> Callable[[httpx.Request], httpx.Response]:
    """A server that answers each request by the next step; a status alone, a status with headers, or a failure."""
    left: Iterator[Any] = iter(steps)

    def handle(request: httpx.Request) -> httpx.Response:
        step = next(left)
        if isinstance(step, Exception):
            raise step
        options = step if isinstance(step, dict) else {"status_code": step}
        if options["status_code"] == 200:
            options = {"json": READY, **options}
        return httpx.Response(**options, request=request)

    return handle


def busy(after: str) -> dict[str, Any]:
    return {"status_code": 429, "headers": {"Retry-After": after}}


def test_a_busy_server_is_asked_again_after_as_long_as_it_says(call: Any) -> None:
    assert call(answers(busy("3"), busy("7"), 200), "ready").models == 1
    first, second = call.clock.slept
    assert 3 <= first <= 3 * 1.25 and 7 <= second <= 7 * 1.25


def test_a_server_without_retry_after_is_asked_after_growing_random_waits(call: Any) -> None:
    call(answers(503, 503, 503, 200), "ready", retries=Retries(backoff=2.0, max_wait=5.0))
    assert len(call.clock.slept) == 3
    for slept, most in zip(call.clock.slept, (2, 4, 5), strict=True):
        assert 0 <= slept <= most
    assert len(set(call.clock.slept)) == 3, "the waits are not random"


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("no route"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("closed early"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_broken_connections_are_tried_again(call: Any, failure: Exception) -> None:
    assert call(answers(failure, 200), "ready").status == "ready"
    with pytest.raises(NoAnswer, match=str(failure)):
        call(answers(*[failure] * 3), "ready", retries=Retries(attempts=3))
    assert len(call.sent) == 2 + 3


def test_work_that_took_too_long_is_not_tried_again(call: Any) -> None:
    with pytest.raises(TimedOut):
        call(answers(httpx.ReadTimeout("slow")), "ready")
    with pytest.raises(DeadlinePassed):
        call(answers(504), "ready")
    assert len(call.sent) == 2 and call.clock.slept == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 422, 500])
def test_refusals_are_not_tried_again(call: Any, status: int) -> None:
    with pytest.raises(Problem) as caught:
        call(answers(status), "ready")
    assert caught.value.status == status and len(call.sent) == 1


def test_a_damaged_model_is_not_tried_again(call: Any) -> None:
    document = {"type": "urn:ebm-service:problem:model-refused", "detail": "altered"}
    with pytest.raises(ModelRefused, match="altered"):
        call(answers({"status_code": 503, "json": document}), "ready")


def test_attempts_are_counted(call: Any) -> None:
    with pytest.raises(Unavailable):
        call(answers(503, 503, 503), "ready", retries=Retries(attempts=3))
    assert len(call.sent) == 3
    with pytest.raises(Busy):
        call(answers(busy("1")), "ready", retries=Retries(attempts=1))


def test_a_longer_wait_than_one_is_ready_for_is_not_waited(call: Any) -> None:
    with pytest.raises(Busy) as caught:
        call(answers(busy("60")), "ready", retries=Retries(max_wait=10))
    assert caught.value.retry_after == 60 and call.clock.slept == []


def test_nothing_is_sent_after_the_deadline(call: Any) -> None:
    with pytest.raises(Busy):
        call(answers(busy("4"), busy("4"), busy("4")), "ready", timeout=9.0)
    assert len(call.sent) in (2, 3)
    assert call.clock.now < 1000 + 9


def test_the_server_learns_how_much_time_is_left(call: Any) -> None:
    call(answers(busy("4"), 200), "ready", timeout=20.0)
    first, second = (float(request.headers["X-Timeout-Seconds"]) for request in call.sent)
    assert first == 20
    assert second == pytest.approx(20 - call.clock.slept[0], abs=1e-3)
    call(answers(200), "ready", timeout=None)
    assert "X-Timeout-Seconds" not in call.sent[-1].headers


def test_one_call_keeps_one_id_and_the_key(call: Any) -> None:
    call(answers(busy("1"), 503, 200), "ready", api_key="secret")
    assert len({request.headers["X-Request-ID"] for request in call.sent}) == 1
    assert {request.headers["X-API-Key"] for request in call.sent} == {"secret"}
    call(answers(200), "ready")
    assert call.sent[-1].headers["X-Request-ID"] != call.sent[0].headers["X-Request-ID"]
    assert "X-API-Key" not in call.sent[-1].headers


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert retry_after("17") == 17
    assert retry_after(format_datetime(now + timedelta(seconds=90), usegmt=True), now) == 90
    assert retry_after("Sat, 21 Nov 2026 12:00:05 -0000", now) == 5
    assert retry_after(format_datetime(now - timedelta(days=1), usegmt=True), now) == 0
    for neither in (None, "", "soon", "-3", "1.5", "²"):
        assert retry_after(neither, now) is None


def test_options_of_a_copy_leave_the_client_alone() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=READY)

    with Client(transport=httpx.MockTransport(handle), timeout=30, clock=lambda: 0.0) as client:
        client.with_options(timeout=5, api_key="other", retries=Retries(1)).ready()
        client.ready()
    assert [request.headers["X-Timeout-Seconds"] for request in seen] == ["5.000", "30.000"]
    assert [request.headers.get("X-API-Key") for request in seen] == ["other", None]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_an_impossible_timeout_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Client(timeout=timeout)
    with Client() as client, pytest.raises(ValueError, match="timeout"):
        client.with_options(timeout=timeout)


def test_impossible_retries_are_refused() -> None:
    for options in ({"attempts": 0}, {"backoff": -1}, {"max_wait": -1}):
        with pytest.raises(ValueError, match="Retries"):
            Retries(**options)


def test_bad_requests_are_their_own_kind(call: Any) -> None:
    with pytest.raises(BadRequest):
        call(answers(422), "ready")
