"""A store of jobs in memory, whose jobs do what a test says: fast, and without a worker."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.errors import Problem
from service.jobs.job import ENDED, Job, JobProgress, Submission

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class FakeJobs:
    """JobStore. `finish` makes jobs succeed as they are submitted, with `content` as their result."""

    def __init__(self, *, finish: bool = False, content: bytes = b"PAR1 of rows"):
        self.finish_at_once, self.content = finish, content
        self.closed = False
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self.submissions: dict[str, Submission] = {}
        self.jobs: dict[str, Job] = {}
        self.keys: dict[tuple[str | None, str], str] = {}
        self.fails: Exception | None = None
        self.gets = 0
        self._numbers = itertools.count(1)

    def submit(self, submission: Submission, idempotency_key: str | None = None) -> tuple[Job, bool]:
        self._check()
        with self._lock:
            known = self.keys.get((submission.owner, idempotency_key)) if idempotency_key else None
            if known is not None:
                if self.submissions[known].options != submission.options:
                    raise Problem(409, "idempotency-conflict", "this key was used for another job")
                return self.jobs[known], False
            job_id = f"job{next(self._numbers)}"
            submission = submission.model_copy(update={"output": submission.output.replace("{job}", job_id)})
            if idempotency_key:
                self.keys[submission.owner, idempotency_key] = job_id
            self.submissions[job_id] = submission
            given = submission.model_dump(exclude={"owner"})
            self.jobs[job_id] = Job(id=job_id, state="queued", created=NOW, **given)
        if self.finish_at_once:
            self.succeed(job_id)
        return self.jobs[job_id], True

    def get(self, job_id: str, owner: str | None = None) -> Job:
        self._check()
        self.gets += 1
        if job_id not in self.jobs or owner not in (None, self.submissions[job_id].owner):
            raise Problem(404, "unknown-job", f"no job {job_id!r}")
        return self.jobs[job_id]

    def list(
        self,
        owner: str | None = None,
        *,
        kind: str | None = None,
        state: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Job]:
        self._check()
        found = [
            job
            for job in reversed(self.jobs.values())
            if owner in (None, self.submissions[job.id].owner)
            and kind in (None, job.kind)
            and state in (None, job.state)
        ]
        return found[offset : offset + limit]

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        job = self.get(job_id, owner)
        return job if job.state in ENDED else self.put(job_id, state="cancelled", finished=NOW)

    def close(self) -> None:
        self.closed = True

    def put(self, job_id: str, **changed: Any) -> Job:
        """Let a job be otherwise."""
        self.jobs[job_id] = self.jobs[job_id].model_copy(update=changed)
        return self.jobs[job_id]

    def succeed(self, job_id: str) -> None:
        """Let it have written its result: a file, or a folder of two parts where its output has no suffix."""
        job = self.jobs[job_id]
        if job.kind != "train" and "://" not in job.output:
            output = Path(job.output)
            if output.suffix:
                output.parent.mkdir(parents=True, exist_ok=True)
                output.write_bytes(self.content)
            else:
                output.mkdir(parents=True, exist_ok=True)
                for i in range(2):
                    (output / f"part-{i:06}.parquet").write_bytes(self.content)
        progress = JobProgress(done=2, total=2)
        summary = {"rows": 2, "output": {"path": job.output}}
        self.put(job_id, state="succeeded", started=NOW, finished=NOW, progress=progress, summary=summary)

    def _check(self) -> None:
        if self.fails is not None:
            raise self.fails
