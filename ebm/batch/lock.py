"""One process at a time on a folder of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

fcntl: Any
try:
    import fcntl
except ImportError:  # no such locks on Windows: there, whoever runs two processes on one output has to know
    fcntl = None

NAME = ".lock"


class FolderLock:
    """An flock on a file in the folder. The system lets go of it when the process dies, however it does."""

    def __init__(self, folder: Path):
        self.path = folder / NAME
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        return self._handle is not None

    def acquire(self) -> bool:
        """Make the folder where it is missing, and try to take the lock; whether it is held now.

        Raises:
            OSError: the folder cannot be made or written.
        """
        while self._handle is None:
            self.path.parent.mkdir(exist_ok=True)
            try:
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except FileNotFoundError:  # the folder has just been published or removed
                continue
            try:
                if fcntl is not None:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Another process may have removed the folder, or renamed it, in between.
                if os.path.samestat(os.fstat(handle), self.path.stat()):
                    os.ftruncate(handle, 0)
                    os.pwrite(handle, str(os.getpid()).encode(), 0)
                    self._handle, handle = handle, -1
            except BlockingIOError:
                return False
            except FileNotFoundError:
                pass
            finally:
                if handle >= 0:
                    os.close(handle)
        return True

    def holder(self) -> str:
        """Who has it, for messages."""
        try:
            pid = self.path.read_text().strip()
        except OSError:
            pid = ""
        return f"process {pid}" if pid.isdecimal() else "another process"

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
