"""The worker that a server starts for itself: a process of its own, so that jobs do not slow requests."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from service.errors import Problem
from service.settings import Settings

try:
    import fcntl
except ImportError:  # not on Windows, where the service has one process
    fcntl = None

LOCK = "worker.lock"
PATIENCE_S = 30.0  # longest wait before a worker that keeps dying is started again
HEALTHY_S = 60.0  # one that lived so long was no failure
# What a worker reads of the settings; `ebm serve` may have them from its command line or its file.
PASSED = (
    "cache_dir data_dir database_url device job_denoise job_generate job_heartbeat_s job_keep_s job_queue job_roots"
    " job_score job_train log_level models_dir ray_address drain_s"
).split()
COMMAND = [sys.executable, "-c", "from ebm.cli import main; main()", "worker"]
log = structlog.get_logger("service.jobs")


class AutoWorker:
    """Keeps one worker alive once it is wanted. Of several servers on one data directory, one has it."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._look: Callable[[], bool] = lambda: False

    def start(self, look: Callable[[], bool]) -> None:
        """Returns at once; `look` says whether jobs wait from an earlier time."""
        self._look = look
        self._run()

    def want(self) -> None:
        """There is a job."""
        self._wanted.set()
        self._run()

    def close(self) -> None:
        """Stop the worker and wait for its end."""
        self._closing.set()
        self._wanted.set()
        with self._starting:
            thread = self._thread
        if thread is not None:
            thread.join(self.settings.drain_s + 15)

    def _run(self) -> None:
        with self._starting:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._keep, name="auto-worker", daemon=True)
                self._thread.start()

    def _keep(self) -> None:
        while not self._wanted.is_set():
            try:
                if self._look():
                    self._wanted.set()
                else:
                    self._wanted.wait()
            except Problem as problem:  # the database is away
                log.warning("jobs_not_seen", reason=str(problem.__cause__ or problem))
                self._wanted.wait(PATIENCE_S)
            except Exception:
                log.exception("jobs_not_seen")
                self._wanted.wait()
        if not self._closing.is_set():
            with _Turn(self.settings.data_dir) as turn:
                while not turn.mine() and not self._closing.wait(1.0):
                    pass
                wait = 1.0
                while not self._closing.is_set():
                    began = time.monotonic()
                    self._one_life()
                    wait = 1.0 if time.monotonic() - began > HEALTHY_S else min(2 * wait, PATIENCE_S)
                    self._closing.wait(wait)

    def _one_life(self) -> None:
        try:
            child = subprocess.Popen(
                [*COMMAND, "--parent", str(os.getpid())],
                env=child_environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the server, which tells the worker
            )
        except OSError as error:
            log.error("worker_not_started", reason=str(error))
            return
        log.info("worker_started", pid=child.pid)
        while child.poll() is None:
            if self._closing.wait(0.2):
                child.terminate()
                try:
                    child.wait(self.settings.drain_s + 10)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        if not self._closing.is_set():
            log.warning("worker_ended", pid=child.pid, code=child.returncode)


def child_environment(settings: Settings) -> dict[str, str]:
    """The server's settings as a worker reads them."""
    from service.settings.settings import FILE_VARIABLE, PREFIX

    known = {PREFIX + name.upper() for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name not in known and name != FILE_VARIABLE}
    for name in PASSED:
        value = getattr(settings, name)
        if value is not None and value != ():
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            kept[PREFIX + name.upper()] = text
    kept[PREFIX + "JOBS"] = "apart"
    return kept


class _Turn:
    """A lock that a dead process lets go of."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / LOCK).open("w")

    def mine(self) -> bool:
        if fcntl is None:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def __enter__(self) -> _Turn:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
