"""Worker processes: jobs run, end, are cancelled, given back, and taken over when their worker is killed."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pyarrow.parquet as pq
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

from service.jobs.store import Jobs
from service.settings import Settings


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "writes.log"


@pytest.mark.parametrize(
    "database_url", ["postgres", pytest.param("sqlite", marks=pytest.mark.slow)], indirect=True
)
def test_a_job_is_scored_to_the_end(store: Jobs, job_settings: Settings, tmp_path: Path, log: Path) -> None:
    values = make_rows(tmp_path / "rows.parquet", 1050)
    job, _ = store.submit(score(tmp_path))
    bad, _ = store.submit(score(tmp_path, "other.parquet").model_copy(update={"version": "99"}))
    with WorkerProcess(job_settings, log, pause_s=0.15) as worker:
        running = wait_for(store, job.id, lambda job: job.progress.done > 0)
        assert running.state == "running" and running.progress.total == 1050
        done = wait_for(store, job.id)
        assert done.state == "succeeded", done.error
        assert done.started is not None and done.finished is not None and done.attempts == 1
        assert (done.progress.done, done.progress.total, done.progress.eta_s) == (1050, 1050, None)
        assert done.summary is not None and done.summary["rows"] == 1050
        check_rows(tmp_path, values)
        assert writes(log) == dict.fromkeys(range(11), 1)

        failed = wait_for(store, bad.id)
        assert failed.state == "failed" and failed.error is not None
        assert failed.error.detail == "model: 'breast-cancer' version '99' is gone"
        assert worker.stop() == 0


def test_a_bad_row_fails_at_once_with_its_number(tmp_path: Path, log: Path) -> None:
    settings = make_settings(tmp_path)
    lines = ["1," * 29 + "1"] * 5 + ["1," * 28 + "x,1"]
    names = ",".join(pq.read_schema(_columns_file(tmp_path)).names[1:])
    (tmp_path / "rows.csv").write_text("\n".join([names, *lines]) + "\n")
    given = score(tmp_path, on_error="fail").model_copy(update={"input": str(tmp_path / "rows.csv")})
    with opened(settings) as store, WorkerProcess(settings, log):
        job = wait_for(store, store.submit(given)[0].id)
        assert job.state == "failed" and job.attempts == 1 and job.error is not None
        assert job.error.row == 5 and job.error.column is not None
        outside = given.model_copy(update={"input": "/etc/passwd"})
        job = wait_for(store, store.submit(outside)[0].id)
        assert job.error is not None and "not under an allowed root" in job.error.detail
    assert not (tmp_path / "out.parquet").exists()


def _columns_file(folder: Path) -> Path:
    make_rows(folder / "rows.parquet", 1)
    return folder / "rows.parquet"


@pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)
def test_killed_workers_lose_no_row_and_repeat_none_but_the_running_chunk(
    store: Jobs, job_settings: Settings, tmp_path: Path, log: Path
) -> None:
    values = make_rows(tmp_path / "rows.parquet", 2000)
    job, _ = store.submit(score(tmp_path))
    chance, kills = random.Random(0), 3
    for _ in range(kills):
        wanted = writes(log).total() + chance.randint(1, 4)
        with WorkerProcess(job_settings, log) as worker:
            wait(lambda wanted=wanted: writes(log).total() >= wanted, "chunks")
            wait(lambda: chance.random() < 0.3, "a random moment")
            worker.kill()
    assert store.get(job.id).state == "running", "the job was too short for so many kills"
    with WorkerProcess(job_settings, log):
        done = wait_for(store, job.id)
    assert done.state == "succeeded" and done.attempts == kills + 1, done.error
    check_rows(tmp_path, values)
    written = writes(log)
    assert sorted(written) == list(range(20))
    assert sum(n - 1 for n in written.values()) <= kills, written


@pytest.mark.parametrize(
    "database_url", ["postgres", pytest.param("sqlite", marks=pytest.mark.slow)], indirect=True
)
def test_another_worker_finishes_the_job_of_a_dead_one(
    store: Jobs, job_settings: Settings, tmp_path: Path, log: Path
) -> None:
    values = make_rows(tmp_path / "rows.parquet", 3000)
    job, _ = store.submit(score(tmp_path))
    with WorkerProcess(job_settings, log) as one, WorkerProcess(job_settings, log) as two:
        wait_for(store, job.id, lambda job: job.progress.done >= 300)
        by = {int(line.split()[0]) for line in log.read_text().splitlines()}
        assert len(by) == 1, "two workers ran one job"
        victim, other = (one, two) if one.pid in by else (two, one)
        victim.kill()
        done = wait_for(store, job.id)
        assert done.state == "succeeded" and done.attempts == 2
        by = {int(line.split()[0]) for line in log.read_text().splitlines()}
        assert by == {victim.pid, other.pid}
    check_rows(tmp_path, values)
    assert writes(log).total() <= 31


@pytest.mark.slow
def test_a_worker_that_was_paused_leaves_the_job_to_the_one_that_took_it_over(
    tmp_path: Path, log: Path
) -> None:
    settings = make_settings(tmp_path)
    values = make_rows(tmp_path / "rows.parquet", 10_000)
    with opened(settings) as store, WorkerProcess(settings, log) as one:
        job, _ = store.submit(score(tmp_path))
        wait_for(store, job.id, lambda job: job.progress.done >= 100)
        one.signal(signal.SIGSTOP)
        with WorkerProcess(settings, log) as two:
            # The paused process holds the lock of the output: the other waits, and does not fail.
            wait(lambda: "output_busy" in Path(f"{log}.err").read_text(), "the other to wait")
            one.signal(signal.SIGCONT)
            done = wait_for(store, job.id)
        assert done.state == "succeeded" and done.attempts == 2, done.error
        check_rows(tmp_path, values)
        assert max(writes(log).values()) <= 2
        by = {int(line.split()[0]) for line in log.read_text().splitlines()}
        assert by == {one.pid, two.pid}, "the first went on with a job that was no longer its own"
        assert one.stop() == 0


@pytest.mark.slow
def test_an_orderly_stop_gives_the_job_back_at_once(tmp_path: Path, log: Path) -> None:
    # The beat is so slow that nobody would be missed within this test.
    settings = make_settings(tmp_path, job_heartbeat_s=1000)
    values = make_rows(tmp_path / "rows.parquet", 2000)
    with opened(settings) as store:
        job, _ = store.submit(score(tmp_path))
        with WorkerProcess(settings, log) as one:
            wait_for(store, job.id, lambda job: job.progress.done >= 100)
            assert one.stop() == 0
        assert store.get(job.id).state == "queued"
        with WorkerProcess(settings, log):
            assert wait_for(store, job.id).attempts == 2
    check_rows(tmp_path, values)
    assert writes(log) == dict.fromkeys(range(20), 1)


@pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)
def test_a_running_job_is_cancelled_within_a_chunk(
    store: Jobs, job_settings: Settings, tmp_path: Path, log: Path
) -> None:
    make_rows(tmp_path / "rows.parquet", 20_000)
    job, _ = store.submit(score(tmp_path))
    after, _ = store.submit(score(tmp_path, "after.parquet", fpr=0.5))
    with WorkerProcess(job_settings, log):
        wait_for(store, job.id, lambda job: job.progress.done >= 100)
        assert store.cancel(job.id).state == "cancelled"
        wait(lambda: not (tmp_path / "out.parquet.partial").exists(), "the staging folder to go")
        wait_for(store, after.id, lambda job: job.progress.done > 0)
    assert not (tmp_path / "out.parquet").exists()
    assert store.get(job.id).state == "cancelled" and writes(log)[150] == 0


@pytest.mark.slow
def test_what_a_cancelled_job_of_a_dead_worker_left_is_removed(tmp_path: Path, log: Path) -> None:
    settings = make_settings(tmp_path)
    make_rows(tmp_path / "rows.parquet", 20_000)
    with opened(settings) as store:
        job, _ = store.submit(score(tmp_path))
        with WorkerProcess(settings, log) as one:
            wait_for(store, job.id, lambda job: job.progress.done >= 100)
            one.kill()
        store.cancel(job.id)
        assert (tmp_path / "out.parquet.partial").exists()
        wait(lambda: _swept(settings, tmp_path), "the sweep")


def _swept(settings: Settings, folder: Path) -> bool:
    from service.jobs.database import Database
    from service.jobs.heartbeat import Heartbeat
    from service.jobs.sweep import clean_cancelled

    database = Database.of(settings)
    Heartbeat(database, "none", [], 0.5, set).take_over()
    clean_cancelled(database, settings)
    database.close()
    return not (folder / "out.parquet.partial").exists()


@pytest.mark.slow
def test_a_job_that_kills_its_workers_is_given_up(tmp_path: Path, log: Path) -> None:
    settings = make_settings(tmp_path)
    make_rows(tmp_path / "rows.parquet", 200)
    with opened(settings) as store:
        job, _ = store.submit(score(tmp_path))
        for _ in range(5):
            with WorkerProcess(settings, log, pause_s=0, fault="die") as worker:
                worker.process.join(60)
        with WorkerProcess(settings, log):
            failed = wait_for(store, job.id)
    assert failed.state == "failed" and failed.error is not None
    assert "its worker died 5 times" in failed.error.detail


@pytest.mark.slow
def test_broken_connections_do_not_stop_a_job(postgres: Postgres, tmp_path: Path, log: Path) -> None:
    url = postgres.fresh()
    settings = make_settings(tmp_path, url, job_heartbeat_s=2.0)
    values = make_rows(tmp_path / "rows.parquet", 4000)
    with opened(settings) as store, WorkerProcess(settings, log):
        job, _ = store.submit(score(tmp_path))
        for done in (500, 1500, 2500):
            wait_for(store, job.id, lambda job, done=done: job.progress.done >= done)
            assert postgres.break_connections(url) > 0
        finished = wait_for(store, job.id)
    assert finished.state == "succeeded", finished.error
    check_rows(tmp_path, values)
    assert writes(log).total() == 40 and finished.attempts == 1
