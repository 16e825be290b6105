"""The driver of Ray as a child process, seen from the process that asks."""

from __future__ import annotations

import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ebm.distributed.messages import error_of
from ebm.errors import EBMError

DRIVER = [sys.executable, "-P", "-m", "ebm.distributed.driver"]
SHUTDOWN_S = 30.0
# Ray's sockets lie in its folder, under a name of some 70 characters; the system takes 107 in all.
LONGEST_TEMPDIR = 24


class Pool:
    """A context: enter to start the driver, leave to end it and all of its actors, whatever they were doing.

    Arguments: the `Order` of `ebm.distributed.driver`.

    Raises (on entering): OSError: no process can be started.
    """

    def __init__(self, *, address: str | None, **order: Any):
        self._order, self._address = order, address

    def __enter__(self) -> Pool:
        system = tempfile.gettempdir()
        parent = system if len(system) <= LONGEST_TEMPDIR or os.name == "nt" else "/tmp"
        self._folder = Path(tempfile.mkdtemp(prefix="ebm-ray-", dir=parent))
        self._said = self._folder / "driver.log"
        try:
            with open(self._said, "wb") as said:
                self._process = subprocess.Popen(
                    DRIVER,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    cwd=self._folder,  # nothing of the asker's folder is importable by its name
                    env=_environment(self._address is None),
                    start_new_session=True,  # Ctrl-C is the asker's
                )
        except OSError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def lines(self, poll_s: float) -> Iterator[list[Any] | None]:
        """[index, rows, rejected, anomalies] of each chunk as it is done, and None now and then in between.

        Raises:
            BadInput, OSError, EBMError: as an actor said it. EBMError: the driver ended without a word.
        """
        order = self._order | {"address": self._address, "folder": str(self._folder)}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._broke_off() from None
        while True:
            try:
                line = self._lines.get(timeout=poll_s)
            except queue.Empty:
                yield None
                continue
            if line is None:
                raise self._broke_off()
            said = json.loads(line)
            if "error" in said:
                raise error_of(said)
            if "end" in said:
                return
            yield said["chunk"]

    def __exit__(self, *_: object) -> None:
        process = self._process
        try:
            assert process.stdin is not None
            try:
                process.stdin.close()  # which the driver takes as the sign to shut Ray down
            except BrokenPipeError:
                pass
            process.wait(SHUTDOWN_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()  # a Ray of its own dies with it
            process.wait()
            self._reader.join()
            assert process.stdout is not None
            process.stdout.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _broke_off(self) -> EBMError:
        """The error, with what the driver said last."""
        code = self._process.wait()
        words = self._said.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(words) if line.strip()), "")
        return EBMError(f"Ray broke off (exit status {code}){': ' + last[:300] if last else ''}")


def _environment(local: bool) -> dict[str, str]:
    """Of the driver, and so of a Ray that it starts."""
    more = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_AUTO_CONNECT": "0"}
    if local:
        # By this name Ray can be told to bind 127.0.0.1: else it listens on all addresses, whatever it is given.
        more["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # Other users of this machine need a token. By default Ray makes one, and keeps it in the home directory.
        more["RAY_AUTH_MODE"], more["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
        more["RAY_ADDRESS"] = ""
    return os.environ | more
