"""What every request gets: an id, a log line, metrics, a time limit for its body, and an answer whatever fails."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
import types
from collections.abc import Generator, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import errors
from service.headers import ALWAYS
from service.settings import Settings
from service.telemetry import logs
from service.telemetry.metrics import Metrics

log = structlog.get_logger("service.http")
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
QUIET = {"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}
WITHOUT_BODY = {"GET", "HEAD", "OPTIONS"}
LONGEST_PATH = 200  # characters of the log line
REFRESH_S = 1.0
_ids = random.Random(os.urandom(16))


class RequestTelemetry:
    """ASGI middleware, the outermost but one (traces). Failures that nobody foresaw become problem documents here."""

    def __init__(self, app: ASGIApp, metrics: Metrics, settings: Settings | None = None):
        settings = settings or Settings()
        self.app, self.metrics = app, metrics
        self.body_timeout_s = settings.body_timeout_s
        enabled = settings.log_level in ("debug", "info")
        # The least status that gets a line.
        self._least = {"all": 0 if enabled else 1000, "errors": 400 if enabled else 1000, "none": 1000}[
            settings.access_log
        ]
        self._least_quiet = self._least if settings.log_level == "debug" else max(self._least, 500)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = scope["request_id"] = request_id_of(scope["headers"])
        logs.current.set(scope)
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                mark = (b"x-request-id", request_id.encode())
                message["headers"] = [*message.get("headers", ()), mark, *ALWAYS]
            await send(message)

        if scope["method"] not in WITHOUT_BODY:
            receive = in_time(receive, self.body_timeout_s, scope)
        try:
            await self.app(scope, receive, send_marked)
        except Exception as error:
            if not isinstance(error, errors.KNOWN):
                log.exception("request_failed", path=scope["path"][:LONGEST_PATH])
            if status:  # the answer is half sent: nothing can be said any more
                raise
            await errors.render(error, scope["path"], request_id)(scope, receive, send_marked)
        finally:
            self._record(scope, request_id, status, time.perf_counter() - started)

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        # The template, not the path: a path is the client's to choose, and each label value costs memory.
        template = getattr(scope.get("route"), "path", None) or "unmatched"
        method = scope["method"]
        problem = scope.get("problem")
        self.metrics.answered(
            method if template != "unmatched" else "any", template, status, seconds, problem
        )
        path = scope["path"]
        if status < (self._least_quiet if path in QUIET else self._least):
            return
        line = {
            "event": "request",
            "method": method,
            "path": path[:LONGEST_PATH],
            "status": status,
            "milliseconds": round(seconds * 1000, 2),
            "request_id": request_id,
            "level": "info",
            "timestamp": datetime.now(UTC),
        }
        if "api_key" in scope or "trace_id" in scope:
            line |= logs.about(scope)
        if problem is not None:
            line["problem"] = problem
        logs.LINES.later(logs.dumps(line))

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Where several workers share metrics, each keeps its gauges fresh; at the end the log is written out."""
        task = None
        if self.metrics.shared_dir is not None and scope["type"] == "lifespan":
            task = asyncio.create_task(self._refresh(scope["app"]))
        try:
            await self.app(scope, receive, send)
        finally:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                self.metrics.publish()
            logs.flush()

    async def _refresh(self, app: Any) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            self.metrics.refresh(app.services.engine, app.services.registry)


def in_time(receive: Receive, seconds: float, scope: Scope | None = None) -> Receive:
    """`receive` of a request whose whole body must arrive within `seconds` of the first look at it; where `scope` has
    `long_body`, each piece of it within `seconds` of the one before.

    Raises:
        Problem: 408.
    """
    deadline, complete = 0.0, False

    async def receive_in_time() -> Message:
        nonlocal deadline, complete
        if complete:  # what follows is the end of the connection, for which anyone may wait
            return await receive()
        waiting = receive().__await__()
        try:
            pending = next(waiting)
        except (
            StopIteration
        ) as arrived:  # it was there: by far the most, and a timer costs more than all the rest
            message = arrived.value
        else:
            loop = asyncio.get_running_loop()
            if not deadline or (scope is not None and "long_body" in scope):
                deadline = loop.time() + seconds
            try:
                async with asyncio.timeout_at(deadline):
                    message = await _rest_of(waiting, pending)
            except TimeoutError:
                detail = f"the body did not arrive within {seconds:g} seconds"
                # Whatever still comes on this connection would be taken for the next request.
                raise errors.Problem(408, "body-timeout", detail, headers={"Connection": "close"}) from None
        complete = not message.get("more_body", False)
        return message

    return receive_in_time


@types.coroutine
def _rest_of(waiting: Generator[Any, Any, Message], pending: Any) -> Generator[Any, Any, Message]:
    """Go on with an awaitable that has been started, and waits for `pending`."""
    while True:
        try:
            try:
                sent = yield pending
            except BaseException as error:  # cancelled: for the awaitable to handle
                pending = waiting.throw(error)
            else:
                pending = waiting.send(sent)
        except StopIteration as arrived:
            return arrived.value


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The client's id of a request, where it sent one that is fit for a log; else a new one."""
    for key, value in headers:
        if key == b"x-request-id":
            text = value.decode("latin-1")
            # Anything else could forge log lines or headers.
            if ACCEPTABLE_ID.fullmatch(text):
                return text
    # Nobody need be unable to guess it, and a system call for each request costs more than all else here.
    return f"{_ids.getrandbits(128):032x}"
