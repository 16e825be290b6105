"""Server-sent events of a long call: progress, snapshots, and the answer or the problem at the end.

FastAPI's own `format_sse_event` frames them. sse-starlette would add keep-alive comments, which take ten lines here,
but replaces uvicorn's signal handler and cuts streams off when the server is told to stop, where this one drains.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import numpy as np
import orjson
import structlog
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.requests import Request
from starlette.responses import Response

from ebm.steps import Progress
from service import errors
from service.work import Done

EVENTS = "text/event-stream"
KEEP_ALIVE_S = 15.0  # proxies cut connections that are silent for a minute or so
# A proxy that gathers answers would hold back progress until the end.
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Document = dict[str, Any]
log = structlog.get_logger("service.events")


async def stream(
    request: Request,
    followed: AsyncIterator[Progress | Done],
    snapshot: Callable[[Progress], Document],
    done: Callable[[Any], Document],
) -> Response:
    """Events `progress`, `snapshot` and at the end `done`, or `error` with the problem document; ids count from 1.

    Raises:
        Exception: what the call raises before its first step, for then there can still be a status.
    """
    first = await anext(followed)

    async def events() -> AsyncGenerator[bytes]:
        number = 0
        try:
            async for name, document in _documents(request, first, followed, snapshot, done):
                number += 1
                content = orjson.dumps(document, default=np.ndarray.tolist, option=orjson.OPT_SERIALIZE_NUMPY)
                yield format_sse_event(data_str=content.decode(), event=name, id=str(number))
        finally:
            if isinstance(followed, AsyncGenerator):
                await followed.aclose()  # gives up the call, where its client has gone

    return EventSourceResponse(kept_alive(events(), KEEP_ALIVE_S), headers=HEADERS)


async def _documents(
    request: Request,
    first: Progress | Done,
    followed: AsyncIterator[Progress | Done],
    snapshot: Callable[[Progress], Document],
    done: Callable[[Any], Document],
) -> AsyncGenerator[tuple[str, Document]]:
    try:
        item = first
        while True:
            if isinstance(item, Done):
                yield "done", done(item.answer)
                return
            yield "progress", {"step": item.step, "n_total": item.n_total}
            if item.snapshot is not None:
                yield "snapshot", snapshot(item)
            item = await anext(followed)
    except Exception as error:
        if not isinstance(error, errors.KNOWN):
            log.exception("request_failed", path=request.url.path)
        answer = errors.render(error, request.url.path, request.scope.get("request_id"))
        yield "error", orjson.loads(answer.body)


async def kept_alive(events: AsyncGenerator[bytes], every_s: float) -> AsyncGenerator[bytes]:
    """`events`, with a comment wherever there was none for so long."""
    pending: asyncio.Future[bytes] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(events))
            await asyncio.wait({pending}, timeout=every_s)
            if not pending.done():
                yield KEEPALIVE_COMMENT
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield event
    finally:
        if pending is not None and not pending.done():
            pending.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await pending
        await events.aclose()
