"""What is told of a running job: that it began does not count as getting on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from job_harness import make_settings, opened, score

from service.jobs.database import Database, jobs, status
from service.jobs.watch import Watch


def test_a_job_has_got_on_when_a_chunk_is_done_and_not_when_it_began(tmp_path: Path) -> None:
    settings, told = make_settings(tmp_path), list[Any]()
    with opened(settings) as store:
        job, _ = store.submit(score(tmp_path))
        database = Database.of(settings)
        with database.engine.begin() as connection:
            connection.execute(jobs.update().values(tries=3))
            connection.execute(status.update().values(status="PENDING", owner_xid="x"))

        def tries() -> int:
            with database.engine.connect() as connection:
                return connection.execute(sa.select(jobs.c.tries)).scalar_one()

        watch = Watch(database, job.id, "x", threading.Event(), lambda _, value: told.append(value))
        watch.meter.begin(0, 10)
        watch._look()
        watch._tell()
        assert tries() == 3 and [(one["done"], one["total"]) for one in told] == [(0, 10)]
        watch.meter.note(2, 10)
        watch._tell()
        assert tries() == 0 and [(one["done"], one["total"]) for one in told] == [(0, 10), (2, 10)]
        assert not watch.should_stop()
        database.close()
