"""The store of jobs: what is kept, for whom, and once for a key."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from job_harness import make_settings, opened, score

from service import telemetry
from service.errors import Problem
from service.jobs.database import Database, jobs, status
from service.jobs.job import Submission
from service.jobs.store import Jobs
from service.settings import Settings


def problem(call: Any, *args: Any, **options: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        call(*args, **options)
    return caught.value


def set_status(settings: Settings, job_id: str, **values: Any) -> None:
    database = Database.of(settings)
    with database.engine.begin() as connection:
        connection.execute(status.update().where(status.c.workflow_uuid == job_id).values(**values))
    database.close()


def test_a_job_is_kept_as_it_was_submitted(store: Jobs, tmp_path: Path) -> None:
    given = score(tmp_path, "äöü \U0001f600.parquet", fpr=0.01).model_copy(update={"owner": "nightly"})
    job, new = store.submit(given)
    assert new and job.state == "queued" and job.attempts == 0 and job.expires is None
    assert (job.kind, job.model, job.version) == ("score", "breast-cancer", "2")
    assert (job.output, job.options) == (given.output, given.options)
    assert store.get(job.id) == job == store.get(job.id, "nightly")


def test_jobs_are_listed_newest_first_by_owner_kind_and_state(store: Jobs, tmp_path: Path) -> None:
    one = score(tmp_path).model_copy(update={"owner": "a"})
    ids = [store.submit(one.model_copy(update={"owner": owner}))[0].id for owner in ("a", "b", "a")]
    train = Submission(kind="train", model="m", output="models/m", options={"preset": "tabular"})
    ids.append(store.submit(train)[0].id)
    assert [job.id for job in store.list()] == ids[::-1]
    assert [job.id for job in store.list("a")] == [ids[2], ids[0]]
    assert [job.id for job in store.list(kind="train")] == [ids[3]]
    assert [job.id for job in store.list(limit=2, offset=1)] == [ids[2], ids[1]]
    store.cancel(ids[1])
    assert [job.id for job in store.list(state="cancelled")] == [ids[1]]
    assert store.counts() == {("score", "queued"): 2, ("score", "cancelled"): 1, ("train", "queued"): 1}


def test_jobs_of_others_and_unknown_ones_are_not_found(store: Jobs, tmp_path: Path) -> None:
    job, _ = store.submit(score(tmp_path).model_copy(update={"owner": "a"}))
    for call in (store.get, store.cancel):
        for job_id, owner in ((job.id, "b"), ("nobody", None), ("\0'; --", None), ("\ud800", None)):
            found = problem(call, job_id, owner)
            assert (found.status, found.slug) == (404, "unknown-job")
    assert store.get(job.id).state == "queued"


def test_a_waiting_job_is_cancelled_and_one_that_ended_stays(
    store: Jobs, job_settings: Settings, tmp_path: Path
) -> None:
    job, _ = store.submit(score(tmp_path))
    cancelled = store.cancel(job.id)
    assert cancelled.state == "cancelled" and cancelled.finished is not None
    assert cancelled.expires is not None and cancelled.expires > cancelled.finished
    done, _ = store.submit(score(tmp_path))
    set_status(job_settings, done.id, status="SUCCESS", output='{"rows": 3}', completed_at=9_000_000_000_000)
    assert store.cancel(done.id).state == "succeeded"
    assert store.get(done.id).summary == {"rows": 3}


def test_a_failed_job_says_why_and_where(store: Jobs, job_settings: Settings, tmp_path: Path) -> None:
    job, _ = store.submit(score(tmp_path))
    kept = '{"name": "JobFailed", "message": "row 3: no", "data": {"row": 3, "column": "age"}}'
    set_status(job_settings, job.id, status="ERROR", error=kept)
    error = store.get(job.id).error
    assert error is not None and (error.detail, error.row, error.column) == ("row 3: no", 3, "age")
    set_status(job_settings, job.id, error="gASVCgAAAAAAAAB9lIwBYZRLAXMu", serialization="py_pickle")
    error = store.get(job.id).error
    assert error is not None and "failed" in error.detail


def test_the_same_key_finds_the_first_job(store: Jobs, tmp_path: Path) -> None:
    given = score(tmp_path)
    first, new = store.submit(given, "k")
    again, once_more = store.submit(given.model_copy(update={"version": "3"}), "k")
    assert new and not once_more and again.id == first.id
    found = problem(store.submit, score(tmp_path, fpr=0.2), "k")
    assert (found.status, found.slug) == (409, "idempotency-conflict")
    other, new = store.submit(given.model_copy(update={"owner": "b"}), "k")
    assert new and other.id != first.id
    assert store.submit(given)[1] and store.submit(given)[1]


def test_a_key_holds_for_an_upload_repeated(store: Jobs, job_settings: Settings) -> None:
    def uploaded(folder: str, text: str) -> Submission:
        file = job_settings.data_dir / "uploads" / folder / "rows.csv"
        file.parent.mkdir(parents=True)
        file.write_text(text)
        out = job_settings.data_dir / "results" / "{job}" / "out.csv"
        return Submission(kind="score", model="m", version="1", input=str(file), output=str(out))

    first, _ = store.submit(uploaded("a", "1,2"), "k")
    assert first.output == str(job_settings.data_dir / "results" / first.id / "out.csv")
    again, new = store.submit(uploaded("b", "3,4"), "k")
    assert not new and again.id == first.id
    assert problem(store.submit, uploaded("c", "1,2,3"), "k").status == 409


def test_one_key_from_many_threads_makes_one_job(store: Jobs, tmp_path: Path) -> None:
    found: list[tuple[str, bool]] = []
    ready = threading.Barrier(8)

    def submit() -> None:
        ready.wait()
        job, new = store.submit(score(tmp_path), "k")
        found.append((job.id, new))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len({job_id for job_id, _ in found}) == 1
    assert [new for _, new in found].count(True) == 1 and len(store.list()) == 1


def test_two_stores_make_the_tables_together(tmp_path: Path, database_url: str | None) -> None:
    settings = make_settings(tmp_path, database_url)
    stores = [store for _ in range(4) if (store := Jobs.of(settings)) is not None]
    failed: list[Exception] = []

    def look(store: Jobs) -> None:
        try:
            store.list()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=look, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert failed == []


def test_a_full_queue_takes_no_more(tmp_path: Path, database_url: str | None) -> None:
    with opened(make_settings(tmp_path, database_url, job_queue=2)) as store:
        first, _ = store.submit(score(tmp_path), "k")
        store.submit(score(tmp_path))
        found = problem(store.submit, score(tmp_path))
        assert (found.status, found.slug) == (429, "queue-full") and "Retry-After" in found.headers
        assert store.submit(score(tmp_path), "k")[0].id == first.id
        store.cancel(first.id)
        assert store.submit(score(tmp_path))[1]


def test_a_database_that_is_away_is_a_503_without_the_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.configure_logging("info")  # as the server does; another test may have said something else
    settings = make_settings(tmp_path, "postgresql://ebm:hunter2@127.0.0.1:9/jobs")
    with opened(settings) as store:
        found = problem(store.list)
    assert (found.status, found.slug) == (503, "jobs-unavailable") and found.headers["Retry-After"]
    said = capsys.readouterr()
    assert "refused" in said.out + said.err and "hunter2" not in said.out + said.err + str(found)


def test_a_broken_file_is_a_503(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    settings.data_dir.mkdir()
    (settings.data_dir / "jobs.sqlite").write_bytes(b"not a database at all" * 100)
    with opened(settings) as store:
        assert problem(store.list).status == 503


def test_jobs_may_be_off(tmp_path: Path) -> None:
    assert Jobs.of(make_settings(tmp_path, jobs="off")) is None


def test_nothing_is_half_submitted(
    store: Jobs, job_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.list()
    assert store._opened is not None

    def fail(*_: Any, **__: Any) -> None:
        raise sa.exc.OperationalError("", {}, Exception("lost"))

    with monkeypatch.context() as patched:
        patched.setattr(store._opened[1], "enqueue_in_transaction", fail)
        assert problem(store.submit, score(tmp_path), "k").status == 503
    database = Database.of(job_settings)
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(jobs)).all() == []
    database.close()
    assert store.submit(score(tmp_path), "k")[1]
