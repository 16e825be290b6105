"""Signs of life: whose jobs are freed, and whose are not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from job_harness import score

from service.jobs import heartbeat
from service.jobs.database import Database, status, steps, workers
from service.jobs.heartbeat import Heartbeat, give_back
from service.jobs.job import State
from service.jobs.store import Jobs
from service.settings import Settings


@pytest.fixture
def database(store: Jobs, job_settings: Settings) -> Iterator[Database]:
    store.list()
    found = Database.of(job_settings)
    yield found
    found.close()


def make(
    database: Database, executor: str, running: set[str] | None = None, beat_s: float = 1000
) -> Heartbeat:
    return Heartbeat(database, executor, ["score"], beat_s, lambda: running or set())


def claimed(store: Jobs, database: Database, folder: Path, executor: str, since_s: float = 0) -> str:
    """A job that a worker has begun."""
    job, _ = store.submit(score(folder))
    began = (database.now() - since_s) * 1000
    change(database, job.id, status="PENDING", executor_id=executor, owner_xid="x", started_at_epoch_ms=began)
    return job.id


def change(database: Database, job_id: str, **values: object) -> None:
    with database.engine.begin() as connection:
        connection.execute(status.update().where(status.c.workflow_uuid == job_id).values(**values))


def silence(database: Database, executor: str, seconds: float) -> None:
    with database.engine.begin() as connection:
        mine = workers.update().where(workers.c.executor_id == executor)
        connection.execute(mine.values(seen=database.now() - seconds))


def state(store: Jobs, job_id: str) -> State:
    return store.get(job_id).state


def test_jobs_of_a_silent_worker_are_freed_once_and_of_the_living_never(
    store: Jobs, database: Database, tmp_path: Path
) -> None:
    dead, alive, me = (make(database, name) for name in ("dead", "alive", "me"))
    for one in (dead, alive, me):
        one.beat()
    lost = claimed(store, database, tmp_path, "dead")
    kept = claimed(store, database, tmp_path, "alive")
    silence(database, "dead", 2900)
    silence(database, "alive", 2900)
    assert me.take_over() == 0, "three beats of a thousand seconds are not over"
    silence(database, "dead", 3100)
    assert me.take_over() == 1 and me.take_over() == 0
    assert state(store, lost) == "queued" and state(store, kept) == "running"
    assert database_row(database, lost).owner_xid is None
    dead.beat()  # it was only paused: it is a worker again, without its job
    assert me.take_over() == 0 and state(store, lost) == "queued"


def database_row(database: Database, job_id: str) -> sa.Row:
    with database.engine.connect() as connection:
        return connection.execute(sa.select(status).where(status.c.workflow_uuid == job_id)).one()


def test_jobs_of_a_worker_that_nobody_knows_are_freed(
    store: Jobs, database: Database, tmp_path: Path
) -> None:
    lost = claimed(store, database, tmp_path, "never seen")
    me = make(database, "me")
    me.beat()
    assert me.take_over() == 1 and state(store, lost) == "queued"


def test_two_take_over_at_once_and_one_gets_it(store: Jobs, database: Database, tmp_path: Path) -> None:
    for _ in range(5):
        claimed(store, database, tmp_path, "dead")
    freed: list[int] = []
    ready = threading.Barrier(4)

    def act(n: int) -> None:
        one = make(database, f"w{n}")
        one.beat()
        ready.wait()
        freed.append(one.take_over())

    threads = [threading.Thread(target=act, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(freed) == 5


def test_a_claim_that_its_own_worker_did_not_hear_of_is_freed(
    store: Jobs, database: Database, tmp_path: Path
) -> None:
    unheard = claimed(store, database, tmp_path, "me", since_s=4000)
    fresh = claimed(store, database, tmp_path, "me")
    runs = claimed(store, database, tmp_path, "me", since_s=4000)
    me = make(database, "me", {runs})
    me.beat()
    assert me.take_over() == 1
    assert [state(store, job) for job in (unheard, fresh, runs)] == ["queued", "running", "running"]


def test_leaving_frees_ones_own(store: Jobs, database: Database, tmp_path: Path) -> None:
    me, other = make(database, "me"), make(database, "other")
    other.beat()
    me.start()
    mine, theirs = (claimed(store, database, tmp_path, name) for name in ("me", "other"))
    me.stop()
    assert state(store, mine) == "queued" and state(store, theirs) == "running"
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(workers.c.executor_id)).scalars().all() == ["other"]


def test_a_job_is_given_back_by_its_owner_only(store: Jobs, database: Database, tmp_path: Path) -> None:
    job_id = claimed(store, database, tmp_path, "me")
    give_back(database, job_id, "somebody")
    assert state(store, job_id) == "running"
    give_back(database, job_id, "x")
    assert state(store, job_id) == "queued"
    store.cancel(job_id)
    give_back(database, job_id, "x")
    assert state(store, job_id) == "cancelled"


def test_jobs_of_an_older_version_wait_for_its_workers_and_are_adopted_when_none_is_left(
    store: Jobs, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(database, "old").beat()
    waiting = store.submit(score(tmp_path))[0].id
    begun = claimed(store, database, tmp_path, "old")
    monkeypatch.setattr(heartbeat, "VERSION", 2)
    with database.engine.begin() as connection:
        connection.execute(
            sa.text(
                f"INSERT INTO {'' if database.is_sqlite else 'ebm.'}operation_outputs "
                "(workflow_uuid, function_id, function_name, retention_timestamp) VALUES (:id, 1, 'f', 0)"
            ),
            {"id": begun},
        )
    new = make(database, "new")
    new.beat()
    new.take_over()
    assert database_row(database, waiting).application_version == "1"
    silence(database, "old", 4000)
    new.take_over()
    for job_id in (waiting, begun):
        row = database_row(database, job_id)
        assert (row.status, row.application_version) == ("ENQUEUED", "2")
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(steps)).all() == []
    monkeypatch.setattr(heartbeat, "VERSION", 1)
    silence(database, "new", 4000)
    make(database, "old").beat()
    make(database, "old").take_over()
    assert database_row(database, waiting).application_version == "2", "never back to an older version"


def test_after_a_pause_of_ones_own_others_are_given_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = make(database, "me", beat_s=0.01)
    looked: list[float] = []
    monkeypatch.setattr(me, "take_over", lambda: looked.append(me._last))
    clock = iter([0.0, 100.0, 100.0, 100.01, 100.01])
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: next(clock, 100.02))
    me.beat()  # at 0; the next at 100
    me._over.wait = lambda _: len(looked) > 0  # type: ignore[method-assign]
    me._beat_on()
    assert looked[0] > 100, "the first beat after the pause took no job"
