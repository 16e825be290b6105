"""What both clients share: how a `Call` becomes a request, and what becomes of its answer."""

from __future__ import annotations

import copy
import enum
import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import httpx

from ebm.client.calls import Call
from ebm.client.errors import NoAnswer, TimedOut, problem_of
from ebm.client.retries import Retries

DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_S = 10.0  # s to wait for a connection, or for room in the pool
GRACE_S = 1.0  # s beyond the deadline in which the server may still say that it passed


class Unset(enum.Enum):
    """An option that was not given, where None means something."""

    UNSET = enum.auto()


UNSET = Unset.UNSET


@dataclass(frozen=True)
class Operation:
    """One method call: its requests share an id in the server's log, and one deadline (on `clock`; None: none)."""

    request_id: str
    deadline: float | None


class Connection:
    """Address, key, time and retries. Not used by itself: see `Client` and `AsyncClient`."""

    def __init__(
        self,
        *,
        api_key: str | None,
        timeout: float | None,
        retries: Retries | None,
        clock: Callable[[], float],
    ):
        """
        Args:
            api_key: sent as X-API-Key.
            timeout: s for a whole method call, its retries included; sent as X-Timeout-Seconds, so that the server
                stops too. None: as long as the server takes.
            retries: how often and how patiently; `Retries(attempts=1)` for never.
            clock: monotonic seconds; for tests.
        """
        _check_timeout(timeout)
        self.timeout, self.retries, self._clock = timeout, retries or Retries(), clock
        self._headers = _headers(api_key)

    def with_options(
        self,
        *,
        timeout: float | None | Unset = UNSET,
        api_key: str | None | Unset = UNSET,
        retries: Retries | Unset = UNSET,
    ) -> Self:
        """The same client and connections with other options: `client.with_options(timeout=5).score(...)`."""
        other = copy.copy(self)
        if not isinstance(timeout, Unset):
            _check_timeout(timeout)
            other.timeout = timeout
        if not isinstance(api_key, Unset):
            other._headers = _headers(api_key)
        if not isinstance(retries, Unset):
            other.retries = retries
        return other

    def _begin(self, before: Operation | None = None) -> Operation:
        """A new operation, or the same with its time begun anew."""
        deadline = None if self.timeout is None else self._clock() + self.timeout
        return Operation(before.request_id if before else uuid.uuid4().hex, deadline)

    def _request(self, call: Call, operation: Operation) -> dict[str, Any]:
        """What httpx needs for one attempt.

        Raises:
            TimedOut: the operation's time is over.
        """
        headers = {**self._headers, **call.headers, "X-Request-ID": operation.request_id}
        read = None
        if operation.deadline is not None:
            left = operation.deadline - self._clock()
            if left <= 0:
                raise TimedOut(f"no answer within {self.timeout:g} s")
            headers["X-Timeout-Seconds"] = f"{left:.3f}"
            read = left + GRACE_S
        return {
            "method": call.method,
            "url": call.path,
            "params": dict(call.params) or None,
            "headers": headers,
            "content": call.content or None,
            "files": list(call.files) or None,
            "timeout": httpx.Timeout(read, connect=CONNECT_S, pool=CONNECT_S),
        }


def _headers(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"X-API-Key": api_key}


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
        raise ValueError(f"timeout must be a positive number of seconds or None, got {timeout}")


@contextmanager
def failures_named() -> Iterator[None]:
    """httpx's exceptions as this package's."""
    try:
        yield
    except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
        raise TimedOut(f"no answer in time: {error or type(error).__name__}") from error
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise NoAnswer(f"the server was not reached: {error or type(error).__name__}") from error


def checked(response: httpx.Response) -> httpx.Response:
    """The answer, read whole, or the exception that it stands for."""
    if response.status_code >= 400:
        raise problem_of(response)
    return response
