"""What jobs leave behind goes when it is time, and nothing else does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from job_harness import make_settings, score

from service.errors import Problem
from service.jobs.database import Database, jobs, status
from service.jobs.job import Job
from service.jobs.store import Jobs
from service.jobs.sweep import sweep
from service.settings import Settings


@pytest.fixture
def database(store: Jobs, job_settings: Settings) -> Iterator[Database]:
    store.list()
    found = Database.of(job_settings)
    yield found
    found.close()


def sweep_now(store: Jobs, settings: Settings, database: Database) -> None:
    assert store._opened is not None
    sweep(database, store._opened[1], settings)


def upload(settings: Settings, name: str) -> Path:
    file = settings.data_dir / "uploads" / name / "rows.csv"
    file.parent.mkdir(parents=True)
    file.write_text("1")
    return file


def end(database: Database, job: Job, ago_s: float, word: str = "SUCCESS") -> None:
    with database.engine.begin() as connection:
        mine = status.update().where(status.c.workflow_uuid == job.id)
        connection.execute(mine.values(status=word, completed_at=(database.now() - ago_s) * 1000))


def test_an_old_job_goes_with_all_its_files(
    store: Jobs, job_settings: Settings, database: Database, tmp_path: Path
) -> None:
    data = job_settings.data_dir
    ended = []
    for n, (ago, word) in enumerate([(8 * 86400, "SUCCESS"), (8 * 86400, "ERROR"), (6 * 86400, "SUCCESS")]):
        given = score(tmp_path).model_copy(
            update={
                "input": str(upload(job_settings, f"u{n}")),
                "output": str(data / "results" / "{job}" / "o.csv"),
            }
        )
        job, _ = store.submit(given, f"key {n}")
        for folder in ("results", "runs"):
            (data / folder / job.id).mkdir(parents=True)
        end(database, job, ago, word)
        ended.append(job)
    waiting, _ = store.submit(score(tmp_path).model_copy(update={"input": str(upload(job_settings, "u3"))}))
    os.utime(data / "uploads" / "u3", (0, 0))  # it waits for longer than jobs are kept
    beside = tmp_path / "mine.csv"
    beside.write_text("1")
    sweep_now(store, job_settings, database)
    assert {job.id for job in store.list()} == {ended[2].id, waiting.id}
    assert sorted(path.name for path in (data / "uploads").iterdir()) == ["u2", "u3"]
    for folder in ("results", "runs"):
        assert [path.name for path in (data / folder).iterdir()] == [ended[2].id]
    assert beside.exists() and store.get(waiting.id).state == "queued"
    with pytest.raises(Problem, match="no job"):
        store.get(ended[0].id)
    with database.engine.connect() as connection:
        kept = connection.execute(sa.select(status.c.workflow_uuid)).scalars().all()
    assert sorted(kept) == sorted([ended[2].id, waiting.id])
    assert store.submit(score(tmp_path), "key 0")[1], "the key is free again"


def test_uploads_without_a_job_go_when_they_are_old(
    store: Jobs, job_settings: Settings, database: Database
) -> None:
    old, young = upload(job_settings, "old"), upload(job_settings, "young")
    os.utime(old.parent, (0, 0))
    sweep_now(store, job_settings, database)
    assert young.exists() and not old.exists()


def test_an_output_of_ones_own_is_never_removed(
    store: Jobs, job_settings: Settings, database: Database, tmp_path: Path
) -> None:
    given = score(tmp_path)
    (tmp_path / "rows.parquet").write_text("rows")
    Path(given.output).write_text("scored")
    job, _ = store.submit(given)
    end(database, job, 9 * 86400)
    sweep_now(store, job_settings, database)
    assert store.list() == [] and Path(given.output).exists() and (tmp_path / "rows.parquet").exists()


def test_links_out_of_the_uploads_are_not_followed(
    store: Jobs, job_settings: Settings, database: Database, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("1")
    folder = job_settings.data_dir / "uploads"
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(outside)
    os.utime(folder / "link", (0, 0), follow_symlinks=False)
    os.utime(outside, (0, 0))
    sweep_now(store, job_settings, database)
    assert (outside / "precious").exists()


def test_a_data_folder_behind_a_link(tmp_path: Path) -> None:
    from service.jobs.folders import is_result, upload_folder

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    settings = make_settings(tmp_path, data_dir=tmp_path / "link")
    real = tmp_path / "real"
    assert is_result(str(real / "results" / "j" / "o"), settings)
    assert upload_folder(str(real / "uploads" / "u" / "a"), settings) == real / "uploads" / "u"
    assert upload_folder(str(real / "uploads"), settings) is None
    assert upload_folder("s3://bucket/uploads/u/a", settings) is None


def test_cancelled_jobs_are_looked_at_once(
    store: Jobs, job_settings: Settings, database: Database, tmp_path: Path
) -> None:
    job, _ = store.submit(score(tmp_path))
    store.cancel(job.id)
    sweep_now(store, job_settings, database)
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(jobs.c.cleaned)).scalars().all() == [True]
