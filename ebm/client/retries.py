"""When a call is sent again, and how long to wait before: one policy for both clients."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenacity import RetryCallState

from ebm.client.errors import Busy, NoAnswer, Problem, TimedOut, Unavailable


@dataclass(frozen=True)
class Retries:
    """How often and how patiently a call is repeated: where the server was not reached, and where it says 429 or 503.

    Every call may be sent twice without harm (jobs carry an idempotency key). The wait is what `Retry-After` asks for
    and up to a quarter more, so that many clients do not come back at once; without one, a random time below
    backoff * 2^k seconds after the attempt k = 0, 1, ... ("full jitter").

    attempts: in all, the first included; 1 for none again.
    backoff: s.
    max_wait: s; a server that asks for a longer wait is not asked again.
    """

    attempts: int = 5
    backoff: float = 0.25
    max_wait: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.backoff < 0 or self.max_wait < 0:
            raise ValueError("Retries: attempts is at least 1, backoff and max_wait are not negative")

    def wait(self, state: RetryCallState) -> float:
        """Seconds before the next attempt."""
        asked = _asked(state)
        if asked is not None:
            return asked * random.uniform(1, 1.25)
        return random.uniform(0, min(self.max_wait, self.backoff * 2 ** (state.attempt_number - 1)))

    def options(self, deadline: float | None, clock: Callable[[], float]) -> dict[str, Any]:
        """The policy as tenacity takes it; no attempt begins after `deadline`."""

        def stop(state: RetryCallState) -> bool:
            if state.attempt_number >= self.attempts or (_asked(state) or 0.0) > self.max_wait:
                return True
            return deadline is not None and clock() + state.upcoming_sleep >= deadline

        return {"stop": stop, "wait": self.wait, "retry": _worth_it, "reraise": True}


def _worth_it(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    # A broken connection may be repaired in a moment; work that took too long once would again.
    return isinstance(error, Busy | Unavailable | NoAnswer) and not isinstance(error, TimedOut)


def _asked(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, Problem) else None
