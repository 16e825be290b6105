"""Jobs: what may be asked, one job, several, and where a result is."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.jobs.job import Job, Kind, State


class JobRequest(BaseModel):
    """What is to be done, to which file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Kind = Field(description="train publishes a model, and needs a key of scope admin")
    model: str = Field(
        min_length=1, max_length=200, description="name of a served model; train: of the one to publish"
    )
    version: str | None = Field(
        None, min_length=1, max_length=64, description="null: the one that the bare name means now"
    )
    input: str | None = Field(
        None, description="absolute path or URL under a root that the server allows; null: a file is uploaded"
    )
    output: str | None = Field(
        None,
        description="the same, to write to; or a bare name; null: kept by the server until the job expires. "
        "The suffix is the format; without one it is a folder of parts",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="score: fpr or fdr, worst; denoise: sigma, n_steps, method, noise, seed; generate: n, seed, "
        "n_steps, step_size; these three: rows_per_chunk, on_error (reject or fail), format (of a folder's parts). "
        "train: preset (tabular or image) with label, normal, ignore, contamination, seed, size; or config",
    )
    engine: Literal["local", "ray"] = Field("local", description="ray: spread over a cluster")


class JobAnswer(Job):
    """One job. Files that the server keeps itself are shown as upload:NAME and result:NAME, what training publishes as
    model:NAME."""


class JobList(BaseModel):
    """The newest first; `more`: there are older ones than these."""

    jobs: list[JobAnswer]
    more: bool


class JobQuery(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = None
    state: State | None = None
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0, le=1_000_000)


class ResultPart(BaseModel):
    name: str
    bytes: int
    href: str = Field(description="GET downloads it")


class ResultParts(BaseModel):
    """A result that is not one file here.

    output: where it is; a URL is read from there, and has no parts here. model: of train, the path of what was
    published.
    """

    output: str | None = None
    model: str | None = None
    parts: list[ResultPart] = []
