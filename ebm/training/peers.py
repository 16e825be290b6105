"""A watch on the other processes of a run: whichever of them fails or dies, all end, and one says why.

A rank that waits for the others' gradients hears of a death from gloo, but not its reason, and with nccl it would wait
on. So each rank writes why it fails into the store by which they met, and a thread of each looks there.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from lightning_fabric import Fabric
from torch.distributed import distributed_c10d

POLL = 0.3  # seconds between two looks
PATIENCE = 10.0  # seconds that a rank waits for the others to hear of its end, or for the reason of theirs
FAILED, HEARD, LEFT = "ebm/failed", "ebm/heard", "ebm/left"

# (reason, exit code, whether this process is the one to say it): ends the process.
End = Callable[[str, int, bool], None]


class Peers:
    """Watches from now to `leave`; one object in every process of a launched `fabric`.

    Args:
        end: called in the thread, once, when another process failed or died.
    """

    def __init__(self, fabric: Fabric, end: End):
        self.rank, self.size, self.end = fabric.global_rank, fabric.world_size, end
        self.store = distributed_c10d._get_default_store()
        launcher: Any = fabric.strategy.launcher
        self.children = list(
            getattr(launcher, "procs", ())
        )  # where this process started the others of its machine
        if self.children:
            launcher.procs.clear()  # or Fabric's own watch would kill this process before it can say why
        self.parent = os.getppid()
        self._over, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="peers", daemon=True)
        self._thread.start()

    def tell(self, reason: str, code: int) -> bool:
        """This process fails: the others end for this reason. False where they end for another's already."""
        if not self._close():
            return False
        try:
            text = f"{self.rank} {code} {reason}"
            self.store.add(HEARD, 1)
            told = self.store.compare_set(FAILED, "", text).decode() == text
            if self.rank == 0:  # which holds the store: it must not take the reason away with it
                self._until(lambda: self.store.add(HEARD, 0) + self.store.add(LEFT, 0) >= self.size)
            return told or self.rank == 0
        except RuntimeError:
            return True

    def wait(self) -> None:
        """Until the watch has found why a process was lost, and has ended this one; or `PATIENCE` is over."""
        self._thread.join(PATIENCE)

    def leave(self) -> None:
        """This process has done its part. Rank 0 waits for the others, who would take its end for a death."""
        if not self._close():
            return
        try:
            self.store.add(LEFT, 1)
            if self.rank == 0:
                self._until(lambda: self.store.add(LEFT, 0) >= self.size)
        except RuntimeError:
            pass  # the others' errors are their own to tell

    def _close(self) -> bool:
        """End the watch; False where it was over."""
        with self._lock:
            if self._over.is_set():
                return False
            self._over.set()
            return True

    def _until(self, done: Callable[[], bool]) -> None:
        last = time.monotonic() + PATIENCE
        while not done() and time.monotonic() < last and not self._all_dead():
            time.sleep(POLL / 10)

    def _all_dead(self) -> bool:
        ended = [child.poll() is not None for child in self.children]
        return len(ended) == self.size - 1 and all(ended)

    def _watch(self) -> None:
        while not self._over.wait(POLL):
            found = self._look()
            if found is not None and self._close():
                return self.end(*found)

    def _look(self) -> tuple[str, int, bool] | None:
        try:
            if self.store.check([FAILED]):
                _, code, reason = self.store.get(FAILED).decode().split(" ", 2)
                self.store.add(HEARD, 1)
                return reason, int(code), self.rank == 0
        except RuntimeError:  # rank 0 holds the store
            return "rank 0 of the training run has ended", 1, self.rank == 1
        for local, child in enumerate(self.children, 1):
            code = child.poll()
            if code and not self.store.check([FAILED]):
                how = (
                    f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                )
                return f"rank {self.rank + local} of the training run was {how}", 1, self.rank == 0
        if os.getppid() != self.parent:
            return "rank 0 of the training run has ended", 1, self.rank == 1
        return None
