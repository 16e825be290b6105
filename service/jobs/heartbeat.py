"""Signs of life of the workers; the jobs of one that gives none go back to the queue."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Collection

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from service.jobs.database import APPLICATION, Database, status, steps, workers
from service.jobs.store import VERSION

MISSED = 3  # beats, after which a worker is taken for dead
log = structlog.get_logger("service.jobs")


class Heartbeat:
    """One worker's row, kept fresh; and a look at the others'.

    All times are the database's. A process that was paused finds its row gone when it comes back, and its jobs with
    another owner, at which each of them stops (`watch.py`).

    Args:
        running: ids of the jobs that this worker knows it runs.
    """

    def __init__(
        self,
        database: Database,
        executor_id: str,
        kinds: Collection[str],
        beat_s: float,
        running: Callable[[], set[str]],
    ):
        self.database, self.executor_id, self.beat_s = database, executor_id, beat_s
        self._kinds, self._running = ",".join(sorted(kinds)), running
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)
        self._last = time.monotonic()

    def start(self) -> None:
        """Raises SQLAlchemyError: a worker that cannot say that it lives must not begin."""
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """Leave; what was not finished is free for others at once."""
        self._over.set()
        self._thread.join(self.beat_s + 5)
        with self.database.engine.begin() as connection:
            connection.execute(workers.delete().where(workers.c.executor_id == self.executor_id))
            freed = connection.execute(_free().where(status.c.executor_id == self.executor_id)).rowcount
        if freed:
            log.info("jobs_given_back", jobs=freed)

    def beat(self) -> None:
        now = self.database.now()
        with self.database.engine.begin() as connection:
            mine = workers.update().where(workers.c.executor_id == self.executor_id).values(seen=now)
            if not connection.execute(mine).rowcount:
                connection.execute(
                    workers.insert().values(
                        executor_id=self.executor_id,
                        host=socket.gethostname(),
                        pid=os.getpid(),
                        kinds=self._kinds,
                        version=VERSION,
                        beat_s=self.beat_s,
                        started=now,
                        seen=now,
                    )
                )
        self._last = time.monotonic()

    def take_over(self) -> int:
        """Free the jobs that nobody runs, whoever left them. Each statement finds a job at most once: a second one
        no longer finds it running, or running elsewhere.

        Returns:
            How many.
        """
        silent = workers.c.seen < self.database.now() - MISSED * workers.c.beat_s
        long_ago = (self.database.now() - MISSED * self.beat_s) * 1000
        older = sa.cast(status.c.application_version, sa.Integer) < VERSION
        alive = sa.select(workers.c.executor_id)
        with self.database.engine.begin() as connection:
            dead = connection.execute(workers.delete().where(silent).returning(workers.c.executor_id)).all()
            freed = connection.execute(_free().where(status.c.executor_id.not_in(alive))).rowcount
            # Claimed by this worker, but the connection broke before it heard so.
            unheard = (
                _free()
                .where(status.c.executor_id == self.executor_id)
                .where(status.c.workflow_uuid.not_in(self._running()))
                .where(status.c.started_at_epoch_ms < long_ago)
            )
            freed += connection.execute(unheard).rowcount
            # Jobs of older workflows, whose last worker is gone: what it recorded of their steps may not fit ours, but
            # their work is kept in files.
            versions = sa.select(sa.cast(workers.c.version, sa.Text))
            left = (
                (status.c.status == "ENQUEUED")
                & (status.c.application_name == APPLICATION)
                & older
                & status.c.application_version.not_in(versions)
            )
            old = connection.execute(sa.select(status.c.workflow_uuid).where(left)).scalars().all()
            if old:
                connection.execute(steps.delete().where(steps.c.workflow_uuid.in_(old)))
                adopted = status.update().where(left & status.c.workflow_uuid.in_(old))
                connection.execute(adopted.values(application_version=str(VERSION)))
        if dead or freed:
            log.warning("jobs_taken_over", jobs=freed, workers=[row.executor_id for row in dead])
        return freed

    def _beat_on(self) -> None:
        away = False
        while not self._over.wait(self.beat_s):
            # After a pause of the whole machine everyone looks dead: first let them all beat once.
            paused = time.monotonic() - self._last > 2 * self.beat_s
            try:
                self.beat()
                if not paused:
                    self.take_over()
                away = False
            except SQLAlchemyError as error:
                if not away:
                    log.warning("database_away", reason=str(error).splitlines()[0])
                away = True
            except Exception:
                log.exception("heartbeat_failed")


def _free() -> sa.Update:
    """What DBOS's recovery does to a job whose executor is dead."""
    return (
        status.update()
        .where(status.c.status == "PENDING")
        .where(status.c.application_name == APPLICATION)
        .values(status="ENQUEUED", owner_xid=None, started_at_epoch_ms=None)
    )


def give_back(database: Database, job_id: str, owner: str | None) -> None:
    """A job that this execution owns, to the queue."""
    mine = _free().where(status.c.workflow_uuid == job_id).where(status.c.owner_xid == owner)
    with database.engine.begin() as connection:
        connection.execute(mine)
