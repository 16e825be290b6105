"""The worker that a server starts for itself, and the command that it runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from job_harness import make_rows, make_settings, opened, score, wait, wait_for

from service.jobs import auto
from service.jobs.auto import AutoWorker, child_environment
from service.jobs.database import Database, workers
from service.settings import Settings

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def children(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # A zombie is gone but for its parent's look at it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where stand-ins for workers leave their process numbers."""
    file = tmp_path / "children"
    script = f"import os, time; open({str(file)!r}, 'a').write(str(os.getpid()) + '\\n'); time.sleep(600)"
    monkeypatch.setattr(auto, "COMMAND", [sys.executable, "-c", script])
    return file


@contextlib.contextmanager
def auto_worker(settings: Settings) -> Iterator[AutoWorker]:
    worker = AutoWorker(settings)
    try:
        yield worker
    finally:
        worker.close()


def test_no_job_no_worker(tmp_path: Path, log: Path) -> None:
    with opened(make_settings(tmp_path, jobs="auto")) as store:
        store.start()
        assert store.list() == []
    assert not (tmp_path / "data" / auto.LOCK).exists() and not log.exists()


def test_a_job_starts_one_worker_which_ends_with_the_server(tmp_path: Path, log: Path) -> None:
    with opened(make_settings(tmp_path, jobs="auto")) as store:
        for _ in range(3):
            store.submit(score(tmp_path))
        (pid,) = wait(lambda: children(log), "a worker")
        assert alive(pid)
    assert not alive(pid) and children(log) == [pid]


def test_a_server_that_comes_back_starts_a_worker_for_what_waits(tmp_path: Path, log: Path) -> None:
    with opened(make_settings(tmp_path, jobs="apart")) as store:
        store.submit(score(tmp_path))
    with opened(make_settings(tmp_path, jobs="auto")) as store:
        store.start()
        wait(lambda: children(log), "a worker")


def test_a_worker_that_dies_is_started_again(tmp_path: Path, log: Path) -> None:
    with auto_worker(make_settings(tmp_path)) as worker:
        worker.want()
        (pid,) = wait(lambda: children(log), "a worker")
        os.kill(pid, signal.SIGKILL)
        wait(lambda: len(children(log)) == 2, "another")


def test_of_two_servers_one_has_the_worker_and_the_other_inherits_it(tmp_path: Path, log: Path) -> None:
    settings = make_settings(tmp_path)
    with auto_worker(settings) as second:
        with auto_worker(settings) as first:
            first.want()
            wait(lambda: children(log), "a worker")
            second.want()
            assert second._thread is not None
            second._thread.join(1.5)
            assert len(children(log)) == 1
        wait(lambda: len(children(log)) == 2, "the other's worker")


def test_a_worker_gets_the_settings_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBM_API_KEYS", '[{"name": "a", "sha256": "' + "0" * 64 + '", "scopes": ["score"]}]')
    monkeypatch.setenv("EBM_JOB_ROOTS", "/elsewhere")
    roots = (str(tmp_path), "s3://bucket/a b")
    settings = make_settings(tmp_path, job_roots=roots, job_score=3, device="cuda:1", max_rows=7)
    environment = child_environment(settings)
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = Settings()
    for name in auto.PASSED:
        assert getattr(read, name) == getattr(settings, name), name
    assert read.jobs == "apart" and read.api_keys == ()


SERVER = """
import sys, time
from service.jobs.auto import AutoWorker
from service.settings import Settings
AutoWorker(Settings()).want()
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_real_worker_scores_and_ends_when_the_server_is_killed(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    make_rows(tmp_path / "rows.parquet", 100)
    environment = {**child_environment(settings), "EBM_JOBS": "auto"}
    server = subprocess.Popen([sys.executable, "-c", SERVER], env=environment)
    try:
        with opened(settings) as store:
            job, _ = store.submit(score(tmp_path))
            assert wait_for(store, job.id).state == "succeeded"
        (row,) = _workers(settings)
        assert alive(row.pid)
    finally:
        server.kill()
        server.wait()
    wait(lambda: not alive(row.pid), "the worker's end")
    assert _workers(settings) == [], "it ended without signing off"


def _workers(settings: Settings) -> list[Any]:
    database = Database.of(settings)
    with database.engine.connect() as connection:
        found = connection.execute(sa.select(workers)).all()
    database.close()
    return list(found)
