"""From the database's rows to jobs as the API shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from service.jobs.database import events, jobs, outputs, status
from service.jobs.job import Job, JobError, JobProgress, State, Submission

PROGRESS = "progress"  # DBOS's event that holds it
# DBOS's words in ours.
STATES: dict[str, State] = {
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "PENDING": "running",
    "SUCCESS": "succeeded",
    "ERROR": "failed",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
    "CANCELLED": "cancelled",
}


def words_of(state: State) -> list[str]:
    return [word for word, ours in STATES.items() if ours == state]


def selected() -> Any:
    """All that `job_of` needs, of all jobs."""
    return (
        sa.select(
            jobs.c.id,
            jobs.c.submission,
            jobs.c.created,
            jobs.c.started,
            status.c.status,
            status.c.recovery_attempts,
            status.c.completed_at,
            sa.func.coalesce(outputs.c.output, status.c.output).label("output"),
            sa.func.coalesce(outputs.c.error, status.c.error).label("error"),
            events.c.value.label("progress"),
        )
        .join(status, status.c.workflow_uuid == jobs.c.id)
        .outerjoin(outputs, outputs.c.workflow_uuid == jobs.c.id)
        .outerjoin(events, (events.c.workflow_uuid == jobs.c.id) & (events.c.key == PROGRESS))
    )


def job_of(row: Any, keep_s: float) -> Job:
    """One row of `selected`."""
    given = Submission.model_validate_json(row.submission)
    state = STATES.get(row.status, "failed")
    # SQLite's times are whole seconds in DBOS's tables.
    earliest = row.created if row.started is None else row.started
    finished = None if row.completed_at is None else max(row.completed_at / 1000, earliest)
    progress = JobProgress.model_validate(_parsed(row.progress) or {})
    if state != "running":
        progress = progress.model_copy(update={"eta_s": None})
    return Job(
        id=row.id,
        kind=given.kind,
        model=given.model,
        version=given.version,
        state=state,
        input=given.input,
        output=given.output,
        options=given.options,
        engine=given.engine,
        created=_time(row.created),
        started=None if row.started is None else _time(row.started),
        finished=None if finished is None else _time(finished),
        expires=None if finished is None else _time(finished + keep_s),
        attempts=row.recovery_attempts or 0,
        progress=progress,
        error=_error(row.error) if state == "failed" else None,
        summary=_parsed(row.output) if state == "succeeded" else None,
    )


def _error(text: str | None) -> JobError:
    """DBOS keeps an error as its name, its message and its `data`, where a failed job has row and column."""
    found = _parsed(text) or {}
    more = found.get("data")
    known = {key: more.get(key) for key in ("row", "column")} if isinstance(more, dict) else {}
    return JobError(
        detail=str(found.get("message") or "the job failed; the worker's log has the reason"), **known
    )


def _parsed(text: str | None) -> dict[str, Any] | None:
    try:
        found = None if text is None else json.loads(text)
    except ValueError:  # never unpickled, whoever wrote it
        return None
    return found if isinstance(found, dict) else None


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
