"""The thread of long calls: each advances a chunk of steps, then it is the next one's turn.

It is a thread of its own, of low priority, so that scoring goes on at its pace while chains run: torch lets go of
Python's lock inside its operations (docs/adr/0008).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ebm.data import concat_rows
from ebm.steps import Progress, Steps
from service.engine.tasks import LongTask, Results, deliver
from service.errors import ShuttingDown

Clock = Callable[[], float]
NICE = 10


class Group:
    """Long calls that run as one; most often a single one."""

    def __init__(self, members: list[LongTask], began: float):
        self.members, self.began = members, began
        self.steps: Steps[Progress, None, Any] | None = None

    def start(self) -> Steps[Progress, None, Any]:
        merge = self.members[0].merge
        if merge is None or len(self.members) == 1:
            return self.members[0].start()
        return merge.start(concat_rows([m.merge.values for m in self.members if m.merge is not None]))

    def answers(self, answer: Any) -> Results:
        if len(self.members) == 1:
            return [(self.members[0], answer)]
        results, first = [], 0
        for member in self.members:
            assert member.merge is not None
            last = first + len(member.merge.values)
            results.append((member, answer[first:last]))
            first = last
        return results


class TurnsThread:
    """Runs the steps of long calls, `active` of them by turns, `chunk_steps` or `chunk_s` at a time."""

    def __init__(
        self,
        *,
        active: int,
        chunk_steps: int,
        chunk_s: float,
        max_batch_rows: int,
        clock: Clock,
        on_start: Callable[[], None],
        on_steps: Callable[[int], None],
    ):
        self.active, self.chunk_steps, self.chunk_s = active, chunk_steps, chunk_s
        self.max_batch_rows, self.clock = max_batch_rows, clock
        self._on_start, self._on_steps = on_start, on_steps
        self._wake = threading.Condition()
        self._waiting: deque[LongTask] = deque()
        self._groups: deque[Group] = deque()
        self._stopping, self._give_up_at = False, float("inf")
        self._task_s = 0.0  # seconds that a call takes, lately
        self._under_way = 0
        self.thread = threading.Thread(target=self._loop, name="long-calls", daemon=True)

    # -- from the event loop --

    def put(self, task: LongTask) -> None:
        with self._wake:
            self._waiting.append(task)
            self._wake.notify()

    @property
    def depth(self) -> int:
        """Calls waiting or under way."""
        return len(self._waiting) + self._under_way

    @property
    def waiting_s(self) -> float:
        """How long until a place is free, at the pace of late."""
        return self._task_s * (1 + len(self._waiting)) / self.active

    def stop(self, give_up_at: float) -> None:
        with self._wake:
            self._stopping, self._give_up_at = True, give_up_at
            self._wake.notify()

    # -- in the thread --

    def _loop(self) -> None:
        _lower_priority()
        self._on_start()
        while True:
            with self._wake:
                while not (self._waiting or self._groups or self._stopping):
                    self._wake.wait()
                while self._waiting and len(self._groups) < self.active:
                    self._groups.appendleft(self._gather())  # a newcomer may be a short one
                self._under_way = sum(len(group.members) for group in self._groups)
            if self._stopping and (not self._groups or self.clock() >= self._give_up_at):
                self._abandon()
                return
            group = self._groups[0]
            results = self._advance(group)
            if results is None:
                self._groups.rotate(-1)  # by turns
                continue
            # Off the books first: who has an answer may at once ask for more.
            self._groups.popleft()
            if group.steps is not None:
                group.steps.close()
            self._under_way = sum(len(g.members) for g in self._groups)
            seconds = self.clock() - group.began
            self._task_s = 0.7 * self._task_s + 0.3 * seconds if self._task_s else seconds
            deliver(results)

    def _gather(self) -> Group:
        """The oldest waiting call, and those that may run together with it."""
        first = self._waiting.popleft()
        members = [first]
        if first.merge is not None:
            rows = len(first.merge.values)
            for task in list(self._waiting):
                if task.merge is None or task.merge.key != first.merge.key:
                    continue
                rows += len(task.merge.values)
                if rows > self.max_batch_rows:
                    break
                members.append(task)
                self._waiting.remove(task)
        return Group(members, self.clock())

    def _abandon(self) -> None:
        with self._wake:
            left = [*self._waiting, *(m for group in self._groups for m in group.members)]
            self._waiting.clear()
        for group in self._groups:
            if group.steps is not None:
                group.steps.close()
        self._groups.clear()
        self._under_way = 0
        deliver([(task, ShuttingDown()) for task in left])

    def _advance(self, group: Group) -> Results | None:
        """A chunk of steps; answers for all members once the call has ended, else None."""
        now = self.clock()
        stopped = {id(m): (m, why) for m in group.members if (why := m.reason_to_stop(now))}
        if len(stopped) == len(group.members):
            return list(stopped.values())
        # A merged call's rows are cut by its members, so a member that has gone stays among them until the end.
        until = now + self.chunk_s
        progress: list[Progress] = []
        try:
            if group.steps is None:
                group.steps = group.start()
            while len(progress) < self.chunk_steps:
                progress.append(next(group.steps))
                if self.clock() >= until:
                    break
            return None
        except StopIteration as finished:
            return [stopped.get(id(task), (task, answer)) for task, answer in group.answers(finished.value)]
        except Exception as error:
            if len(group.members) == 1:
                return [(group.members[0], error)]
            # One bad call must not fail its neighbours: each again, alone.
            with self._wake:
                for member in group.members:
                    member.merge = None
                self._waiting.extendleft(reversed(group.members))
            return []
        finally:
            self._on_steps(len(progress))
            _tell(group, progress)


def _tell(group: Group, progress: list[Progress]) -> None:
    for member in group.members:
        if member.on_progress is not None and progress:
            try:
                member.future.get_loop().call_soon_threadsafe(member.on_progress, progress)
            except RuntimeError:  # the loop is closed: nobody listens
                pass


def _lower_priority() -> None:
    """On Linux a thread has a priority of its own; elsewhere it keeps the process's."""
    if hasattr(os, "setpriority") and hasattr(threading, "get_native_id"):
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        except OSError:
            pass
