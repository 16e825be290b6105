"""Beside a running job: whether it may go on, and word of how far it is."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any, Literal

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from service.jobs.database import Database, jobs, status
from service.jobs.meter import Meter
from service.jobs.reading import PROGRESS

TICK_S = 1.0
Reason = Literal["cancelled", "lost", "stopping"]
log = structlog.get_logger("service.jobs")


class Watch:
    """Asks the database about the job once a second, in a thread: the computing waits for no database.

    The job is lost where it has another owner: this process was silent for too long, and another took it over.

    Args:
        owner: DBOS's token of this execution.
        stopping: set where the whole worker is to end.
        publish: DBOS.set_event.
    """

    def __init__(
        self,
        database: Database,
        job_id: str,
        owner: str | None,
        stopping: threading.Event,
        publish: Callable[[str, Any], None],
    ):
        self._wake = threading.Event()
        self.meter = Meter(self._wake.set)
        self._database, self._job_id, self._owner = database, job_id, owner
        self._stopping, self._publish = stopping, publish
        self._found: Reason | None = None
        self._over = threading.Event()
        self._told: Any = None
        self._got_on = False
        # DBOS knows by the context which workflow speaks.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._look_on,), name="watch", daemon=True)

    @property
    def reason(self) -> Reason | None:
        """Why the job must stop."""
        return self._found or ("stopping" if self._stopping.is_set() else None)

    def should_stop(self) -> bool:
        return self.reason is not None

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._wake.set()
        # A database that is away may hold it for longer; it writes nothing once another owns the job.
        self._thread.join(2.0)

    def _look_on(self) -> None:
        away = False
        while not self._over.is_set():
            # That a job gets on is told at once: whoever is killed now has not been killed by it.
            self._wake.wait(TICK_S)
            self._wake.clear()
            try:
                self._look()
                self._tell()
                away = False
            except SQLAlchemyError as error:
                if not away:
                    log.warning("job_not_seen", job=self._job_id, reason=str(error).splitlines()[0])
                away = True
            except Exception:
                # DBOS: the job has another owner. The next look says so.
                log.debug("progress_not_told", job=self._job_id, exc_info=True)

    def _look(self) -> None:
        query = sa.select(status.c.status, status.c.owner_xid).where(status.c.workflow_uuid == self._job_id)
        with self._database.engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is not None and row.status == "CANCELLED":
            self._found = "cancelled"
        elif row is None or row.status != "PENDING" or row.owner_xid != self._owner:
            self._found = "lost"

    def _tell(self) -> None:
        progress = self.meter.progress()
        if progress is None or progress == self._told or self._found is not None or self._over.is_set():
            return
        if self.meter.got_on and not self._got_on:  # whatever ended the tries before, it was not this job
            with self._database.engine.begin() as connection:
                connection.execute(jobs.update().where(jobs.c.id == self._job_id).values(tries=0))
            self._got_on = True
        self._publish(PROGRESS, progress.model_dump(mode="json"))
        self._told = progress
