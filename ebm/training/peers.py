"""A watch on the other processes of a run: whichever of them fails or dies, all end, and one says why.

A rank that waits for the others' gradients hears of a death from gloo, but not its reason, and with nccl it would wait
on. So each rank writes why it ends into the store by which they met, and a thread of each looks there.
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
PATIENCE = 10.0  # seconds that rank 0 waits for the others to hear of its end
REASON = 3.0  # seconds that a rank which lost another waits for the reason
ENDED, HEARD = "ebm/ended", "ebm/heard/"  # "exit code, reason" of the first to end; by rank, who knows of it
GONE = ("rank 0 of the training run has ended", 1)

# (reason, exit code, whether this process is the one to say it): ends the process.
End = Callable[[str, int, bool], None]


class Peers:
    """Watches from now to `leave`; one object in every process of a launched `fabric`.

    Args:
        end: called in the thread, once, when another process failed or died, or rank 0 has done all (exit code 0).
    """

    def __init__(self, fabric: Fabric, end: End):
        self.rank, self.size, self.end = fabric.global_rank, fabric.world_size, end
        self.store = distributed_c10d._get_default_store()
        launcher: Any = fabric.strategy.launcher
        # Those of this machine, where this process started them.
        self.children = list(getattr(launcher, "procs", ()))
        if self.children:
            launcher.procs.clear()  # or Fabric's own watch would kill this process before it can say why
        self.parent = os.getppid()
        self._over, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="peers", daemon=True)
        self._thread.start()

    def tell(self, reason: str, code: int) -> bool:
        """This process fails: the others end for this reason. False where this one ends for another's already."""
        return self._leave(reason, code)

    def leave(self) -> None:
        """This process has done its part. Rank 0's part is the last: others end with it, whatever they still do."""
        if self._leave("done" if self.rank == 0 else None, 0):
            self._thread.join(REASON)
            # Or the threads of gloo, still running when the interpreter ends, now and then abort the process.
            if distributed_c10d.is_initialized():
                distributed_c10d.destroy_process_group()

    def wait(self) -> None:
        """Until the watch has found why a process was lost, and has ended this one; or `REASON` seconds are over."""
        self._thread.join(REASON)

    def _leave(self, reason: str | None, code: int) -> bool:
        if not self._close():
            return False
        try:
            first = reason is None or self._write(reason, code)
            self._heard()
            return first or self.rank == 0
        except RuntimeError:  # the store is gone, and with it those who would have read
            return True

    def _close(self) -> bool:
        """End the watch; False where it was over."""
        with self._lock:
            if self._over.is_set():
                return False
            self._over.set()
            return True

    def _write(self, reason: str, code: int) -> bool:
        """Whether this is the first reason."""
        text = f"{code} {reason}"
        return self.store.compare_set(ENDED, "", text).decode() == text

    def _heard(self) -> None:
        """This rank knows. Rank 0, which may hold the store, keeps it until all the living know."""
        self.store.set(f"{HEARD}{self.rank}", "1")
        last = time.monotonic() + PATIENCE
        while self.rank == 0 and time.monotonic() < last:
            if all(self._dead(r) or self.store.check([f"{HEARD}{r}"]) for r in range(1, self.size)):
                return
            time.sleep(POLL / 10)

    def _dead(self, rank: int) -> bool:
        return 0 < rank <= len(self.children) and self.children[rank - 1].poll() is not None

    def _watch(self) -> None:
        while not self._over.wait(POLL):
            found = self._look()
            if found is not None and self._close():
                return self.end(*found)

    def _look(self) -> tuple[str, int, bool] | None:
        if os.getppid() != self.parent:  # asked first, as torch complains at length of a store that is gone
            return *GONE, self.rank == 1
        try:
            for rank, child in enumerate(self.children, self.rank + 1):
                code = child.poll()
                if code:
                    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
                    self._write(f"rank {rank} of the training run was {how}", 1)  # unless it told its reason
            if self.store.check([ENDED]):
                code, reason = self.store.get(ENDED).decode().split(" ", 1)
                self._heard()
                return reason, int(code), self.rank == 0
        except RuntimeError:
            return *GONE, self.rank == 1
        return None
