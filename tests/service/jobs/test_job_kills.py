"""Kill -9 of everything, at random moments, many times: the rows come out once each."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from job_harness import (
    Postgres,
    WorkerProcess,
    check_rows,
    make_rows,
    make_settings,
    opened,
    score,
    wait,
    wait_for,
    writes,
)

from service.jobs.job import Submission
from service.jobs.store import Jobs
from service.settings import Settings

KILLS = 30
ROWS = 30_000
KEY = "the one job"


def _serve(settings: dict[str, Any], submission: dict[str, Any]) -> None:
    """What the API does with jobs: submit, and look at them again and again."""
    store = Jobs.of(Settings(**settings))
    assert store is not None
    job, _ = store.submit(Submission(**submission), KEY)
    while True:
        store.get(job.id)
        store.list()


class ApiProcess:
    def __init__(self, settings: Settings, submission: Submission):
        forks = multiprocessing.get_context("forkserver")
        given = (settings.model_dump(), submission.model_dump())
        self.process = forks.Process(target=_serve, args=given, daemon=True)
        self.process.start()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thirty_kills_of_workers_api_and_connections(
    database_url: str | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings, log = make_settings(tmp_path, database_url), tmp_path / "writes.log"
    submission = score(tmp_path)
    values = make_rows(tmp_path / "rows.parquet", ROWS)
    chance = random.Random(1)
    what = ["worker", "worker", "api", "both"] + ["connections"] * (database_url is not None)
    done: Counter[str] = Counter()
    workers_killed = 0
    api, worker = ApiProcess(settings, submission), WorkerProcess(settings, log)
    try:
        with opened(settings) as store:
            wait(store.list, "the job")
            for _ in range(KILLS):
                wanted = writes(log).total() + chance.choice([0, 2, 3, 4, 5])
                wait(lambda wanted=wanted: writes(log).total() >= wanted, "chunks")
                wait(lambda: chance.random() < 0.3, "a random moment")
                chosen = chance.choice(what)
                done[chosen] += 1
                if chosen in ("worker", "both"):
                    worker.kill()
                    workers_killed += 1
                if chosen in ("api", "both"):
                    api.kill()
                    api = ApiProcess(settings, submission)
                if chosen in ("worker", "both"):
                    worker = WorkerProcess(settings, log)
                if chosen == "connections" and database_url is not None:
                    server: Postgres = request.getfixturevalue("postgres")
                    assert server.break_connections(database_url) > 0
            (job,) = [found for _ in range(50) if (found := _listed(store))][0]
            assert job.state in ("queued", "running"), "the job was too short for so many kills"
            finished = wait_for(store, job.id, s=300)
    finally:
        api.kill()
        worker.__exit__()
    assert finished.state == "succeeded", finished.error
    check_rows(tmp_path, values)
    written = writes(log)
    assert sorted(written) == list(range(ROWS // 100))
    assert sum(n - 1 for n in written.values()) <= workers_killed, (written, done)


def _listed(store: Jobs) -> Any:
    """The jobs; nothing where a connection of this process was broken just now."""
    from service.errors import Problem

    try:
        return store.list()
    except Problem:
        return None


@pytest.mark.slow
def test_a_job_goes_on_while_the_database_is_away(postgres: Postgres, tmp_path: Path) -> None:
    settings, log = make_settings(tmp_path, postgres.fresh()), tmp_path / "writes.log"
    values = make_rows(tmp_path / "rows.parquet", 6000)
    with opened(settings) as store, WorkerProcess(settings, log) as worker:
        job, _ = store.submit(score(tmp_path))
        wait_for(store, job.id, lambda job: job.progress.done >= 500)
        postgres.stop()
        try:
            wanted = writes(log).total() + 30
            wait(lambda: writes(log).total() >= wanted, "chunks without a database")
        finally:
            postgres.start()
        done = wait(lambda: _ended(store, job.id), "the end", 120)
        assert done.state == "succeeded", done.error
        assert worker.process.is_alive() and os.path.exists(tmp_path / "out.parquet")
    check_rows(tmp_path, values)
    assert writes(log).total() == 60


def _ended(store: Jobs, job_id: str) -> Any:
    from service.errors import Problem

    try:
        job = store.get(job_id)
    except Problem:
        return None
    return job if job.state in ("succeeded", "failed") else None
