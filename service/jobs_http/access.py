"""Calls of the store from the event loop: in a few threads, for so long, and never a 500 because a database is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import structlog
from starlette.requests import Request

from service.auth import may
from service.errors import KNOWN, Problem
from service.jobs.job import JobStore
from service.jobs.places import Roots
from service.jobs_http.looks import Looks
from service.jobs_http.upload import sweep
from service.routing import services
from service.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger("service.jobs")
THREADS = 8
MOST_WAITING = 64
PATIENCE_S = 15.0
RETRY_AFTER_S = 5


class JobAccess:
    """The store, the places, and the threads for what blocks."""

    def __init__(self, store: JobStore, settings: Settings):
        self.store, self.roots = store, Roots.of(settings)
        self.data_dir: Path = self.roots.data_dir
        self.looks = Looks(lambda job_id: self.call(store.get, job_id))
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="jobs")
        self._waiting = 0

    @classmethod
    def of(cls, settings: Settings, store: JobStore | None = None) -> JobAccess | None:
        """None where the server runs no jobs. Opens nothing yet."""
        if store is None and settings.jobs != "off":
            from service.jobs.store import Jobs

            store = Jobs.of(settings)
        return None if store is None else cls(store, settings)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` answers, from a thread.

        Raises:
            Problem: what it raises; 503 where it fails otherwise, takes too long, or too many wait.
        """
        if self._waiting >= MOST_WAITING:
            raise unavailable("too many requests wait for the database of jobs")
        self._waiting += 1
        try:
            future = asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: function(*args, **kwargs)
            )
            return await asyncio.wait_for(future, PATIENCE_S)
        except TimeoutError:
            raise unavailable("the database of jobs does not answer") from None
        except KNOWN:
            raise
        except Exception:
            # The reason may hold the address of the database: it is for the log.
            log.exception("job_store_failed", call=getattr(function, "__name__", "?"))
            raise unavailable("jobs cannot be looked at now") from None
        finally:
            self._waiting -= 1

    async def start(self) -> None:
        """Let the store begin what it does by itself; where that fails the server is up all the same."""
        start = getattr(self.store, "start", None)
        try:
            await self.call(sweep, self.data_dir)
            if start is not None:
                await self.call(start)
        except KNOWN as error:
            log.warning("jobs_not_started", reason=str(error))

    async def stop(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.store.close)
        self._threads.shutdown(wait=False, cancel_futures=True)


def unavailable(detail: str) -> Problem:
    return Problem(503, "jobs-unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def jobs_of(request: Request) -> JobAccess:
    """Raises a Problem, 503, where the server runs no jobs."""
    found = services(request).jobs
    if found is None:
        detail = "this server runs no jobs (EBM_JOBS=off)"
        raise Problem(503, "jobs-off", detail, headers={"Retry-After": "3600"})
    return found


def owner_of(request: Request) -> str | None:
    """Whose jobs a request may see: those of its key; None, all, for administrators and where there are no keys."""
    return None if may(request, "admin") else request.scope["api_key"]
