"""Operations on jobs: long work that the server keeps until it is done, also over its restarts."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import quote

from ebm.client.calls import Call, Steps, document_of, get, given, post

Job = dict[str, Any]


def submit(
    kind: Literal["score", "train", "generate", "denoise"],
    model: str,
    input: str | None = None,
    output: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    idempotency_key: str | None = None,
) -> Steps[Job]:
    """Submit a job (POST /v1/jobs), on servers that offer jobs; the others answer `NotFound`.

    Args:
        input, output: paths or URLs under the roots that the server allows.
        options: as the request of the same kind takes them.
        idempotency_key: a job that was submitted with the same key is returned instead of run again; made up where not
            given, so that a retry never runs a job twice.

    Returns:
        the job: its id, its state, and what was asked.
    """
    asked = {"kind": kind, "model": model, "input": input, "output": output, "options": options}
    call = post("/v1/jobs", given(asked))
    key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    return document_of((yield replace(call, headers={**call.headers, **key})))


def jobs() -> Steps[Any]:
    """The jobs that the server knows (GET /v1/jobs), on servers that offer jobs."""
    return document_of((yield get("/v1/jobs")))


def job(job_id: str) -> Steps[Job]:
    """A job's state, rows done of total, rows/s, time left, and error (GET /v1/jobs/{id})."""
    return document_of((yield get(_path(job_id))))


def result(job_id: str) -> Steps[bytes]:
    """What a finished job made: the bytes of a Parquet, CSV or npy file (GET /v1/jobs/{id}/result)."""
    response = yield Call("GET", f"{_path(job_id)}/result")
    return response.content


def cancel(job_id: str) -> Steps[None]:
    """Stop a job at its next step (DELETE /v1/jobs/{id})."""
    yield Call("DELETE", _path(job_id))


def _path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"
