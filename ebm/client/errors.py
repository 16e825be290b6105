"""What a call to the server may raise. All of it is an `EBMError`; `Problem` carries the server's problem document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson

from ebm.errors import EBMError


class ClientError(EBMError):
    """Base of all that a call raises on purpose."""


class NoAnswer(ClientError):
    """The server could not be reached, or the connection broke before its answer was whole."""


class TimedOut(ClientError):
    """The call's `timeout` was over before its answer was there."""


class Problem(ClientError):
    """An answer of status 400 or more.

    status, title, detail: of the problem document (RFC 9457); `kind` is the last part of its type, e.g. "bad-input".
    row, column: the cell at fault, where one is; rows are counted over the whole call.
    limit, setting: the limit that was passed, and the server's setting that moves it.
    retry_after: seconds to wait before asking again, where the server says so.
    request_id: what to look for in the server's log.
    """

    def __init__(self, status: int, document: Mapping[str, Any], retry_after: float | None = None):
        self.status = status
        self.document = dict(document)
        self.kind = str(document.get("type", "")).rsplit(":", 1)[-1]
        self.title = str(document.get("title", ""))
        self.detail = str(document.get("detail", ""))
        self.row: int | None = document.get("row")
        self.column: str | int | None = document.get("column")
        self.limit: float | None = document.get("limit")
        self.setting: str | None = document.get("setting")
        self.request_id: str | None = document.get("request_id")
        self.retry_after = retry_after
        super().__init__(self.detail or self.title or f"status {status}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.document, self.retry_after)

    def shifted(self, rows: int) -> Problem:
        """The same of a part of the rows that begins after the first `rows`."""
        if self.row is None or not rows:
            return self
        row = self.row + rows
        detail = self.detail.replace(f"row {self.row}", f"row {row}", 1)
        return type(self)(self.status, {**self.document, "row": row, "detail": detail}, self.retry_after)


class BadRequest(Problem):
    """What was sent cannot be used: 400, 406, 415, 422 and other 4xx. `row` and `column` say where."""


class Unauthorized(Problem):
    """401: no API key, or one that the server does not know."""


class Forbidden(Problem):
    """403: the API key has not the scope that this call needs, or the path is not allowed."""


class NotFound(Problem):
    """404: no such model, version or job."""


class LimitExceeded(BadRequest):
    """413, or 422 where a limit was passed: `limit` is its value, `setting` moves it."""


class Busy(Problem):
    """429: the queue is full, or the key asks too often. Retried after `retry_after`."""


class Unavailable(Problem):
    """503: the server is starting, stopping or out of models. Retried."""


class ModelRefused(Problem):
    """503 for a model whose files are damaged: asking again does not help."""


class DeadlinePassed(Problem, TimedOut):
    """504: the server gave up at the call's `timeout`, or at its own."""


class ServerFailed(Problem):
    """Any other 5xx: a fault of the server; its log has the reason under `request_id`."""


BY_STATUS: dict[int, type[Problem]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    413: LimitExceeded,
    429: Busy,
    503: Unavailable,
    504: DeadlinePassed,
}
BY_KIND: dict[str, type[Problem]] = {"limit-exceeded": LimitExceeded, "model-refused": ModelRefused}


def problem_of(response: httpx.Response, now: datetime | None = None) -> Problem:
    """The exception for an answer of status 400 or more, whoever sent it (a proxy knows no problem documents)."""
    try:
        document = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        document = {"title": response.reason_phrase, "detail": response.text[:200].strip()}
    document.setdefault("request_id", response.headers.get("x-request-id"))
    status = response.status_code
    default = BadRequest if status < 500 else ServerFailed
    kind = str(document.get("type", "")).rsplit(":", 1)[-1]
    found = BY_KIND.get(kind) or BY_STATUS.get(status, default)
    return found(status, document, retry_after(response.headers.get("retry-after"), now))


def retry_after(text: str | None, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or an HTTP date; None where it holds neither."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:  # "-0000": UTC all the same
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
