"""Log lines: one JSON object each, on standard error, with the request's id where there is a request."""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

import orjson
import structlog

FLUSH_S = 0.25
MOST_WAITING = 50_000
ATOMIC_BYTES = (
    4096  # POSIX: a write to a pipe of up to so many bytes is not mixed with those of other workers
)

# The ASGI scope of the request that the running task answers; bound once a request, read only by rare lines.
current: ContextVar[MutableMapping[str, Any] | None] = ContextVar("current", default=None)


class Lines:
    """Lines on their way out. Frequent ones wait up to `FLUSH_S` and leave together; others take them along at once."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._due = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def later(self, line: bytes) -> None:
        """Queue a line. Where nobody reads what we write, new lines are dropped, not gathered without end."""
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append(line)
        if not self._due.is_set():
            self._due.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._flush_now_and_then, name="log", daemon=True)
                self._thread.start()

    def now(self, line: bytes) -> None:
        """Write a line, and before it those that wait."""
        self._waiting.append(line)
        self.flush()

    def flush(self) -> None:
        """Write what waits. Never raises: a log that cannot be written must not fail what it reports on."""
        with self._writing:
            if self.dropped:
                self._waiting.append(orjson.dumps({"event": "lines_dropped", "lines": self.dropped}) + b"\n")
                self.dropped = 0
            while self._waiting:
                _write(self._some())

    def _some(self) -> bytes:
        some = self._waiting.popleft()
        while self._waiting and len(some) + len(self._waiting[0]) <= ATOMIC_BYTES:
            some += self._waiting.popleft()
        return some

    def _flush_now_and_then(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            time.sleep(FLUSH_S)
            self.flush()


def _write(lines: bytes) -> None:
    # Looked up at each use: a stream bound once may have been replaced, and closed, since.
    stream = sys.stderr
    with contextlib.suppress(OSError, ValueError, AttributeError):
        raw = getattr(stream, "buffer", None)
        if raw is None:
            stream.write(lines.decode())
        else:
            raw.write(lines)
            raw.flush()


LINES = Lines()
flush = LINES.flush
atexit.register(flush)


def dumps(event: Any, **_: Any) -> bytes:
    """One line of JSON. Strings that are no text (lone surrogates) are shown with question marks."""
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
    except TypeError:
        text = {str(k): str(v).encode("utf-8", "replace").decode() for k, v in event.items()}
        return orjson.dumps(text, option=orjson.OPT_APPEND_NEWLINE)


class _Logger:
    """The end of structlog's chain."""

    def msg(self, line: bytes) -> None:
        LINES.now(line)

    debug = info = warning = error = critical = exception = fatal = msg


class _Forward(logging.Handler):
    """uvicorn's own lines, in the shape of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        level = getattr(logging, record.levelname, logging.INFO)
        structlog.get_logger(record.name).log(
            level, "server", message=record.getMessage(), exc_info=record.exc_info or None
        )


def _add_request(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    scope = current.get()
    if scope is not None:
        event.update(about(scope))
    return event


def about(scope: MutableMapping[str, Any]) -> dict[str, str]:
    """What identifies a request in the log: its id, the name of its API key, the id of its trace."""
    found = {"request_id": scope["request_id"]}
    for name in ("api_key", "trace_id"):
        if name in scope:
            found[name] = scope[name]
    return found


def configure_logging(level: str) -> None:
    """Lines of `level` and up, as JSON on standard error; uvicorn's too, where it runs this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_request,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: _Logger(),
        cache_logger_on_first_use=False,
    )
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.handlers, uvicorn.propagate = [_Forward()], False
