"""A job as the API shows it, and what may be asked of one."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["score", "train", "generate", "denoise"]
State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


class Submission(BaseModel):
    """A job that was checked and may run: places are absolute paths or URLs under allowed roots.

    kind: what is done.
    model: name; version: the one that the name meant when the job was accepted. Train: of the model to publish.
    input: None to generate.
    output: where the result goes.
    options: what `ebm.batch.spec` (score, denoise, generate) or the configuration of a training run holds.
    engine: "ray" spreads the chunks over a Ray cluster.
    owner: name of the API key that asked; None where no keys are configured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    model: str
    version: str | None = None
    input: str | None = None
    output: str
    options: dict[str, Any] = Field(default_factory=dict)
    engine: Literal["local", "ray"] = "local"
    owner: str | None = None


class JobProgress(BaseModel):
    """done, total: rows, or steps of training (`unit`); total None where it is not known.

    per_second: over the last seconds; eta_s: seconds left at that speed. anomalies, rejected: rows so far; figures: of
    training, as loss.
    """

    done: int = 0
    total: int | None = None
    unit: Literal["rows", "steps"] = "rows"
    per_second: float | None = None
    eta_s: float | None = None
    anomalies: int | None = None
    rejected: int | None = None
    term: str | None = None
    figures: dict[str, float] = Field(default_factory=dict)


class JobError(BaseModel):
    """Why a job failed; row and column where one is at fault."""

    detail: str
    row: int | None = None
    column: str | int | None = None


class Job(BaseModel):
    """One job. attempts counts how often a worker began it; summary is what it found, once it has succeeded; expires is
    when its record and what it left under the data directory are removed."""

    id: str
    kind: Kind
    model: str
    version: str | None
    state: State
    input: str | None
    output: str
    options: dict[str, Any]
    engine: Literal["local", "ray"]
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    expires: datetime | None = None
    attempts: int = 0
    progress: JobProgress = JobProgress()
    error: JobError | None = None
    summary: dict[str, Any] | None = None


class JobStore(Protocol):
    """Where jobs are kept; `service.jobs.store` has the real one. All calls block: run them in a thread.

    `owner` None sees and stops all jobs, any other only its own.
    """

    def submit(self, submission: Submission, idempotency_key: str | None = None) -> tuple[Job, bool]:
        """The job, and whether it is new: the same owner's same key finds the job it made first.

        Raises:
            Problem: 409 where the key was used for another submission; 429 where too many jobs wait.
        """
        ...

    def get(self, job_id: str, owner: str | None = None) -> Job:
        """Raises a Problem, 404."""
        ...

    def list(
        self,
        owner: str | None = None,
        *,
        kind: Kind | None = None,
        state: State | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Job]:
        """The newest first."""
        ...

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Stop a job within a chunk, or forget that it waits; one that has ended stays. Raises a Problem, 404."""
        ...

    def close(self) -> None: ...
