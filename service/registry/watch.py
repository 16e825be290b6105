"""Looks at the models again and again, in the background of the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

log = structlog.get_logger("service.registry")


class Watch:
    """Calls `look` every `every_s` seconds (0: never), and within `follow_s` seconds (0: never) after `changed`."""

    def __init__(
        self, look: Callable[[], Awaitable[Any]], every_s: float, changed: Callable[[], bool], follow_s: float
    ):
        self.look, self.every_s, self.changed, self.follow_s = look, every_s, changed, follow_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None and (self.every_s or self.follow_s):
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        pause = min(seconds for seconds in (self.every_s, self.follow_s) if seconds)
        due = clock() + self.every_s
        while True:
            await asyncio.sleep(pause)
            if not (self.changed() or (self.every_s and clock() >= due - pause / 2)):
                continue
            try:
                await self.look()
            except Exception:  # the next look may work; without this none would come
                log.exception("look_failed")
            due = clock() + self.every_s
