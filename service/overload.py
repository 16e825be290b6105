"""Requests that cannot be served now are refused while their head is read, before they cost what an answer costs.

Of ten times the load that a server can take, nine of ten requests are refused; if each went through the whole
application first, it would take the place of one that is answered. And where so many ask again at once that even this
takes too much, their connections are left unread for a moment.
"""

from __future__ import annotations

import time
from functools import lru_cache
from urllib.parse import unquote

import structlog

from service import errors
from service.engine import Engine
from service.errors import Problem, TooMany
from service.headers import ALWAYS
from service.telemetry import Metrics
from service.telemetry.requests import request_id_of

log = structlog.get_logger("service.overload")
# Whoever watches over the server must be answered above all when it has much to do.
ALWAYS_SERVED = (b"/healthz", b"/readyz", b"/metrics", b"/v2/health/")
SCORING = (b"/score", b"/infer")
LONGEST_PATH = 200
LOG_S = 1.0
AT_ONCE_PER_S = 4000  # refusals; they take about a tenth of a core
PAUSE_S = 0.2


class Overload:
    """Decides by the path alone; `max_requests` may be in work at once."""

    def __init__(self, engine: Engine, metrics: Metrics, max_requests: int):
        self.engine, self.metrics, self.max_requests = engine, metrics, max_requests
        self._refused, self._logged_at = 0, float("-inf")
        self._at_once, self._counted_at = float(AT_ONCE_PER_S), time.monotonic()

    def refusal(
        self, url: bytes, headers: list[tuple[bytes, bytes]], in_work: int
    ) -> tuple[bytes, float] | None:
        """A whole HTTP answer for a request that cannot be served now, and for how many seconds to read no further on
        its connection; None for one that can be served.

        Args:
            headers: by lower-case names.
            in_work: requests that this process has in work already.
        """
        path = url.partition(b"?")[0]
        problem: Problem | None = None
        if path.endswith(SCORING):
            problem = self.engine.no_room()
        if problem is None:
            if in_work < self.max_requests or path.startswith(ALWAYS_SERVED):
                return None
            detail = f"{self.max_requests} requests are in work already"
            problem = TooMany(detail, self.engine.retry_after_s)
        pause_s = self._count(problem)
        retry_after = problem.headers["Retry-After"]
        shown = unquote(path[:LONGEST_PATH].decode("latin-1"))
        head, content = _answer(problem.status, problem.slug, problem.detail, retry_after, shown)
        return b"%bx-request-id: %b\r\n\r\n%b" % (head, request_id_of(headers).encode(), content), pause_s

    def _count(self, problem: Problem) -> float:
        """How long the client's next request is to wait."""
        self.metrics.answered("any", "refused", problem.status, 0.0, problem.slug)
        self._refused += 1
        now = time.monotonic()
        if now - self._logged_at >= LOG_S:  # a line for each would be load on top of load
            log.warning("requests_refused", requests=self._refused, reason=problem.detail)
            self._refused, self._logged_at = 0, now
        self._at_once = min(AT_ONCE_PER_S, self._at_once + (now - self._counted_at) * AT_ONCE_PER_S)
        self._counted_at = now
        if self._at_once < 1:
            return PAUSE_S
        self._at_once -= 1
        return 0.0


@lru_cache(maxsize=256)
def _answer(status: int, slug: str, detail: str, retry_after: str, path: str) -> tuple[bytes, bytes]:
    """The head, but for its end, and the content."""
    problem = Problem(status, slug, detail, headers={"Retry-After": retry_after})
    response = errors.render(problem, path, None)
    head = [b"HTTP/1.1 %d %b" % (response.status_code, errors.title(response.status_code).encode())]
    head += [b"%b: %b" % pair for pair in (*response.raw_headers, *ALWAYS)]
    return b"\r\n".join([*head, b""]), bytes(response.body)
