"""From rows of the database to jobs: their times in order."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from service.jobs.reading import job_of

SUBMISSION = '{"kind": "score", "model": "a", "version": "1", "input": "/in.csv", "output": "/out.csv"}'


def row(**given: Any) -> Any:
    values: dict[str, Any] = {"id": "1", "submission": SUBMISSION, "status": "SUCCESS", "output": "{}"}
    values |= {"error": None, "progress": None, "recovery_attempts": 1}
    return SimpleNamespace(**values | given)


@pytest.mark.parametrize(
    ("created", "started", "completed_ms", "finished"),
    [
        (100.25, 100.5, 103_000, 103.0),
        (100.25, 100.5, 100_000, 100.5),  # the database's seconds are whole
        (100.25, None, 100_000, 100.25),  # cancelled while it waited
        (100.25, 100.5, None, None),
    ],
)
def test_a_job_ends_after_it_began(
    created: float, started: float | None, completed_ms: int | None, finished: float | None
) -> None:
    job = job_of(row(created=created, started=started, completed_at=completed_ms), keep_s=10)
    assert job.finished == (None if finished is None else datetime.fromtimestamp(finished, UTC))
    assert job.expires == (None if finished is None else datetime.fromtimestamp(finished + 10, UTC))
