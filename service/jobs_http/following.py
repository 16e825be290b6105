"""Server-sent events of a job: its progress as it changes, and how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.requests import Request
from starlette.responses import Response

from service import errors
from service.errors import Problem, TooMany
from service.events import HEADERS, KEEP_ALIVE_S, kept_alive
from service.jobs.job import ENDED, Job
from service.jobs_http.access import RETRY_AFTER_S, JobAccess, owner_of
from service.jobs_http.looks import POLL_S
from service.jobs_http.showing import shown
from service.routing import services

AWAY_S = 60.0  # a database may be away for so long before those who follow are told


async def follow(request: Request, access: JobAccess, job_id: str) -> Response:
    """Events `progress`, and at the end `done` with the job, or `error` with a problem document; ids count from 1.

    Raises:
        Problem: 404; 429 where too many follow jobs already; 503.
    """
    looks = access.looks
    most = max(1, services(request).settings.max_requests // 2)
    if looks.followers >= most:
        raise TooMany(f"{most} requests follow jobs already", RETRY_AFTER_S)
    first = await access.call(access.store.get, job_id, owner_of(request))

    async def events() -> AsyncGenerator[bytes]:
        looks.followers += 1
        number = 0
        try:
            async for name, document in _documents(request, access, first):
                number += 1
                yield format_sse_event(data_str=orjson.dumps(document).decode(), event=name, id=str(number))
        finally:
            looks.followers -= 1

    return EventSourceResponse(kept_alive(events(), KEEP_ALIVE_S), headers=HEADERS)


async def _documents(
    request: Request, access: JobAccess, job: Job
) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    last: dict[str, Any] | None = None
    answered_at = time.monotonic()
    while True:
        document = shown(job, access.data_dir)
        if job.state in ENDED:
            yield "done", document
            return
        progress = {"id": job.id, "state": job.state, "attempts": job.attempts, **document["progress"]}
        if progress != last:
            last = progress
            yield "progress", progress
        await asyncio.sleep(POLL_S)
        try:
            job = await access.looks.get(job.id)
            answered_at = time.monotonic()
        except Problem as problem:
            if problem.status != 503 or time.monotonic() - answered_at > AWAY_S:
                rendered = errors.render(problem, request.url.path, request.scope.get("request_id"))
                yield "error", orjson.loads(rendered.body)
                return
