"""DBOS's view of a job: one workflow of one step.

The step streams the whole file. After a crash DBOS begins it again, elsewhere perhaps, and the journal of the batch
run, or the checkpoints of the training, make it go on where it was: at most the chunk under way is repeated.

Because the work is kept in files and not in steps, a change of the code between crash and restart harms no job. Should
the steps below ever change, `store.VERSION` goes up by one: workers then leave jobs of newer versions alone, and take
those of older ones once no worker of that version is left (`heartbeat.py`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog
from dbos import DBOS
from dbos._error import DBOSWorkflowCancelledError
from sqlalchemy.exc import SQLAlchemyError

from ebm.errors import Cancelled
from service.jobs.database import Database, jobs, status
from service.jobs.failure import JobFailed, failed
from service.jobs.heartbeat import give_back
from service.jobs.job import Kind, Submission
from service.jobs.reading import PROGRESS
from service.jobs.running import discard_output, perform
from service.jobs.store import workflow_name
from service.jobs.watch import Watch
from service.settings import Settings

# A job whose worker dies over and over, without getting on, is what kills it.
TRIES = 5
log = structlog.get_logger("service.jobs")


@dataclass(frozen=True)
class Setting:
    """What the jobs of this process share."""

    database: Database
    settings: Settings
    stopping: threading.Event


def register(kind: Kind, setting: Setting) -> None:
    """Tell DBOS how jobs of this kind are run. Before DBOS.launch."""

    @DBOS.step(name=workflow_name(kind))
    def step(job_id: str) -> dict[str, Any]:
        return attempt(job_id, setting)

    @DBOS.workflow(name=workflow_name(kind), max_recovery_attempts=None)
    def workflow(job_id: str) -> dict[str, Any]:
        return step(job_id)


def attempt(job_id: str, setting: Setting) -> dict[str, Any]:
    """Run the job to its end.

    Raises:
        JobFailed: it failed, for good.
        DBOSWorkflowCancelledError: no result of this execution counts: cancelled, lost, or given back.
    """
    database = setting.database
    submission, owner = _patiently(lambda: _begin(database, job_id), setting.stopping)
    log.info("job_started", job=job_id, kind=submission.kind, model=submission.model)
    with Watch(database, job_id, owner, setting.stopping, DBOS.set_event) as watch:
        try:
            summary = plain(perform(submission, job_id, setting.settings, watch))
        except Exception as error:
            reason = watch.reason
            if reason is None and isinstance(error, Cancelled):
                reason = "stopping"
            # A job that others have now fails for reasons of theirs, as files that they moved.
            if reason in ("cancelled", "lost") or isinstance(error, Cancelled):
                _leave(submission, job_id, owner, reason, setting)
                raise DBOSWorkflowCancelledError(f"job {job_id}: {reason}") from None
            raise failed(error, job_id) from None
    progress = watch.meter.progress()
    if progress is not None:
        last = progress.model_copy(update={"eta_s": 0.0, "total": progress.done})
        DBOS.set_event(PROGRESS, last.model_dump(mode="json"))
    log.info("job_done", job=job_id)
    return summary


def _begin(database: Database, job_id: str) -> tuple[Submission, str | None]:
    with database.engine.begin() as connection:
        begun = jobs.update().where(jobs.c.id == job_id)
        first = sa.func.coalesce(jobs.c.started, database.now())
        connection.execute(begun.values(tries=jobs.c.tries + 1, started=first))
        query = (
            sa.select(jobs.c.submission, jobs.c.tries, status.c.owner_xid)
            .join(status, status.c.workflow_uuid == jobs.c.id)
            .where(jobs.c.id == job_id)
        )
        row = connection.execute(query).one_or_none()
    if row is None:
        raise JobFailed("the job's record is gone")
    if row.tries > TRIES:
        raise JobFailed(f"given up: its worker died {TRIES} times before the job got on")
    return Submission.model_validate_json(row.submission), row.owner_xid


def _leave(
    submission: Submission, job_id: str, owner: str | None, reason: str | None, setting: Setting
) -> None:
    log.info("job_left", job=job_id, reason=reason)
    database = setting.database
    try:
        if reason == "cancelled":
            discard_output(submission, setting.settings)
            with database.engine.begin() as connection:
                connection.execute(jobs.update().where(jobs.c.id == job_id).values(cleaned=True))
        elif reason == "stopping":
            with database.engine.begin() as connection:
                connection.execute(jobs.update().where(jobs.c.id == job_id).values(tries=0))
            give_back(database, job_id, owner)
    except Exception:
        # What is not removed now the sweeper removes; a job not given back is taken over.
        log.warning("job_not_left_in_order", job=job_id, exc_info=True)


def _patiently(act: Callable[[], Any], stopping: threading.Event) -> Any:
    """While the database is away, wait for it."""
    wait = 0.5
    while True:
        try:
            return act()
        except SQLAlchemyError as error:
            log.warning("database_away", reason=str(error).splitlines()[0])
            if stopping.wait(wait):
                raise DBOSWorkflowCancelledError("stopping") from None
            wait = min(2 * wait, 10.0)


def plain(summary: dict[str, Any]) -> dict[str, Any]:
    """As JSON that every reader takes: no NaN, no infinity."""
    return json.loads(json.dumps(summary, default=str), parse_constant=lambda _: None)
