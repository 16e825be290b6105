"""How a job fails: one line for its owner, and the row and column at fault."""

from __future__ import annotations

from typing import Any

import structlog

from ebm.errors import BadInput, EBMError

log = structlog.get_logger("service.jobs")


class JobFailed(Exception):
    """DBOS stores the message, and `data` beside it: see `reading.py`."""

    def __init__(self, detail: str, row: int | None = None, column: str | int | None = None):
        printable = detail.encode("utf-8", "replace").decode()
        super().__init__(printable)
        self.data: dict[str, Any] = {"row": row, "column": column}


def failed(error: Exception, job_id: str) -> JobFailed:
    """What the owner of a job is told of an exception; of one that is no fault of theirs only where to look."""
    if isinstance(error, JobFailed):
        return error
    if isinstance(error, BadInput):
        return JobFailed(str(error), error.row, error.column)
    if isinstance(error, EBMError):
        return JobFailed(str(error))
    if isinstance(error, OSError):
        log.warning("job_failed", job=job_id, exc_info=error)
        reason = error.strerror or str(error)
        return JobFailed(f"{error.filename}: {reason}" if error.filename else reason)
    log.error("job_failed", job=job_id, exc_info=error)
    if isinstance(error, MemoryError):
        return JobFailed("the worker ran out of memory")
    return JobFailed(
        f"the worker failed ({type(error).__name__}); its log has the reason under this job's id"
    )
