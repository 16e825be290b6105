"""Looks at jobs for all who follow them: at each job once in a while, however many they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from service.jobs.job import Job

POLL_S = 1.0


class Looks:
    """In the event loop. `followers` counts the requests that follow a job."""

    def __init__(self, look: Callable[[str], Awaitable[Job]]):
        self._look, self.followers = look, 0
        self._found: dict[str, tuple[float, asyncio.Task[Job]]] = {}

    async def get(self, job_id: str) -> Job:
        """The job as it was less than half of `POLL_S` ago. Raises what a look does."""
        now = time.monotonic()
        found = self._found.get(job_id)
        if found is None or now - found[0] >= POLL_S / 2:
            for old in [one for one, (at, _) in self._found.items() if now - at > 10 * POLL_S]:
                del self._found[old]
            task = asyncio.ensure_future(self._look(job_id))
            # Whoever asked may be gone when it fails.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            found = self._found[job_id] = now, task
        return await asyncio.shield(found[1])
