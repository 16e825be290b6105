"""Settings of jobs: where they are kept, and how many run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from service.settings.types import Bytes, Count, Words


def _database(value: str | None) -> str | None:
    # The value may hold a password: no message repeats it.
    if value is None or value.startswith("sqlite:///"):
        return value
    scheme, separator, rest = value.partition("://")
    if scheme.split("+")[0] not in ("postgresql", "postgres") or not separator:
        raise ValueError("postgresql://user:password@host/name, or sqlite:///path")
    if not rest.partition("?")[0].partition("/")[2]:
        raise ValueError("names no database: postgresql://user:password@host/name")
    return value


class JobSettings(BaseModel):
    """Jobs."""

    jobs: Literal["auto", "apart", "off"] = Field(
        default="auto",
        description="auto: the server starts a worker process when there is a job; apart: `ebm worker` runs them; off",
    )
    data_dir: Path = Field(
        default=Path("ebm-data"),
        description="folder for the jobs' database, uploads, results and training runs; workers apart share it",
    )
    database_url: Annotated[str | None, AfterValidator(_database)] = Field(
        default=None,
        description="postgresql://user:password@host/name; not set: SQLite, a file in the data folder",
    )
    job_roots: Words = Field(
        default=(),
        description="folders and URL prefixes, with commas, that jobs may read and write; none: uploads only",
    )
    max_upload_bytes: Bytes = Field(
        default=10 * 2**30, description="bytes of one file that is uploaded for a job"
    )
    job_queue: Count = Field(default=1000, description="jobs that may wait; more are answered 429")
    job_keep_s: float = Field(
        default=7 * 24 * 3600.0,
        gt=0,
        description="seconds after its end that a job, its upload and its result are kept",
    )
    job_score: Count = Field(default=1, description="score jobs at once in one worker")
    job_train: Count = Field(default=1, description="train jobs at once in one worker")
    job_generate: Count = Field(default=1, description="generate jobs at once in one worker")
    job_denoise: Count = Field(default=1, description="denoise jobs at once in one worker")
    job_heartbeat_s: float = Field(
        default=5.0,
        gt=0,
        description="seconds between a worker's signs of life; after three without one, others take over its jobs",
    )
    ray_address: str | None = Field(
        default=None,
        description="Ray cluster of jobs with engine ray; not set: one is started on the worker's machine",
    )
