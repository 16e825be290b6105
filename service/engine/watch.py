"""After the requests that wait: is the client still there, is there time left? Looked at now and then, all together,
for a timer of each would cost more than most answers take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request

from ebm.errors import Cancelled
from service.engine.tasks import Task
from service.errors import DeadlinePassed

LOOK_S = 0.25


class Watch:
    """Gives up tasks whose client or time is gone; in the event loop. `clock` is that of the tasks' deadlines."""

    def __init__(self, clock: Callable[[], float]):
        self.clock = clock
        self._waiting: dict[Task, Request] = {}
        self._looking: asyncio.Task[None] | None = None

    def add(self, task: Task, request: Request) -> None:
        self._waiting[task] = request
        if self._looking is None:
            self._looking = task.future.get_loop().create_task(self._look())
        left = task.deadline - self.clock()
        if left < 2 * LOOK_S:  # too near for a look now and then
            task.future.get_loop().call_later(max(left, 0.0), task.give_up, DeadlinePassed())

    def remove(self, task: Task) -> None:
        self._waiting.pop(task, None)

    async def _look(self) -> None:
        idle = 0
        while idle < 100:  # a server without work need not wake up four times a second for ever
            await asyncio.sleep(LOOK_S)
            idle = 0 if self._waiting else idle + 1
            for task, request in list(self._waiting.items()):
                if task.future.done():
                    continue
                if self.clock() >= task.deadline:
                    task.give_up(DeadlinePassed())
                elif await request.is_disconnected():
                    task.give_up(Cancelled("the client went away"))
        self._looking = None

    def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
