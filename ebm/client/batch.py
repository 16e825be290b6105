"""Operations on jobs: long work that the server keeps until it is done, also over its restarts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import quote

from ebm.client.calls import (
    EVENTS,
    JSON,
    Call,
    Pause,
    Steps,
    document_of,
    encode_json,
    get,
    given,
    is_document,
    post,
)
from ebm.client.errors import Busy, ClientError, NoAnswer, ServerFailed, TimedOut, Unavailable

Job = dict[str, Any]
Kind = Literal["score", "train", "generate", "denoise"]
State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED = ("succeeded", "failed", "cancelled")
PATIENCE_S = 300.0  # a server that is started anew, or moved, may be away for so long while one waits


def submit(
    kind: Kind,
    model: str,
    input: str | None = None,
    output: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    file: str | Path | bytes | BinaryIO | None = None,
    file_name: str | None = None,
    version: str | None = None,
    engine: Literal["local", "ray"] | None = None,
    idempotency_key: str | None = None,
) -> Steps[Job]:
    """Submit a job: returns at once, while the server works on it.

    Args:
        model: of train, the name to publish under.
        input, output: paths or URLs under the roots that the server allows. Without an output, or with a bare name, the
            server keeps the result until the job expires; the suffix is the format, and without one it is a folder.
        options: as the request of the same kind takes them; docs/jobs.md has them all.
        file: instead of an input, a file of one's own: a path, bytes, or an open binary file. It is sent piece by
            piece, whatever its size.
        file_name: for bytes; its suffix says what they are.
        engine: "ray" spreads the work over a cluster, where the server has one.
        idempotency_key: a job that was submitted with the same key is returned instead of run again; made up where not
            given, so that a retry never runs a job twice.

    Returns:
        the job: its `id`, its `state`, and what was asked.

    Raises:
        BadRequest: names the field that cannot be used.
        LimitExceeded: the file is too large. Busy: too many jobs wait.
        ValueError: bytes without a name.
    """
    asked = {"kind": kind, "model": model, "version": version, "input": input, "output": output}
    document = given({**asked, "options": options, "engine": engine})
    key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    if file is None:
        call = post("/v1/jobs", document)
        return document_of((yield Call("POST", call.path, {}, {**call.headers, **key}, call.content)))
    with ExitStack() as stack:
        content: Any = file
        if isinstance(file, str | Path):
            content = stack.enter_context(Path(file).open("rb"))
            file_name = file_name or Path(file).name
        elif isinstance(file, bytes) and file_name is None:
            raise ValueError("give the file_name of bytes: its suffix says what they are")
        name = file_name or Path(str(getattr(file, "name", "file"))).name
        files = (
            ("job", (None, encode_json(document), JSON)),
            ("file", (name, content, "application/octet-stream")),
        )
        call = Call("POST", "/v1/jobs", {}, {"Accept": JSON, **key}, files=files)
        return document_of((yield call))


def jobs(
    *,
    kind: Kind | None = None,
    state: State | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> Steps[list[Job]]:
    """The jobs of this API key, the newest first (50 without a limit); of all keys for an administrator's."""
    answer = yield get("/v1/jobs", kind=kind, state=state, limit=limit, offset=offset)
    return document_of(answer)["jobs"]


def job(job_id: str) -> Steps[Job]:
    """A job: `state`, `progress` (rows done of total, rows/s, time left), `error`, `summary`.

    Raises:
        NotFound: no such job, or another key's.
    """
    return document_of((yield get(path_of(job_id))))


def wait(
    job_id: str,
    *,
    timeout: float | None = None,
    poll: float = 1.0,
    on_progress: Callable[[Job], None] | None = None,
) -> Steps[Job]:
    """Wait until a job has ended, also while the server is away for some minutes.

    Args:
        timeout: seconds in all; None: as long as it takes.
        poll: seconds between two looks.
        on_progress: called with the job at each look.

    Returns:
        the job, which `succeeded`, `failed` (its `error` says why) or was `cancelled`.

    Raises:
        TimedOut: it has not ended; it goes on.
        NotFound: no such job, or another key's.
    """
    began = heard = now = yield Pause(0)
    state = "not heard of"
    while True:
        try:
            found = document_of((yield get(path_of(job_id))))
        except (NoAnswer, TimedOut, Busy, Unavailable, ServerFailed):
            now = yield Pause(0)
            if now - heard > PATIENCE_S:
                raise
        else:
            heard, state = now, found["state"]
            if on_progress is not None:
                on_progress(found)
            if state in ENDED:
                return found
        left = float("inf") if timeout is None else began + timeout - now
        if left <= 0:
            raise TimedOut(f"job {job_id} is {state} after {timeout:g} s")
        now = yield Pause(min(poll, left))


def follow(job_id: str) -> Call:
    """A job's progress as it comes: an iterator of `Event`s. `progress`, with data {state, done, total, per_second,
    eta_s, ...}, and at the end `done` with the job, however it ended.

    Raises:
        NotFound: no such job. NoAnswer: the connection broke; `wait_for_job` outlasts that.
    """
    return Call("GET", f"{path_of(job_id)}/events", {}, {"Accept": EVENTS})


def result(job_id: str, part: str | None = None) -> Steps[bytes]:
    """What a finished job made, in memory: the bytes of a Parquet, CSV, Arrow or npy file, or of one part of a folder.
    `download_job_result` takes what does not fit, and whole folders.

    Raises:
        BadRequest: the job has not succeeded, or its result has expired.
        ClientError: the result is no file on the server.
    """
    response = yield Call("GET", result_path(job_id, part))
    if is_document(response):
        raise not_a_file(document_of(response))
    return response.content


def rejects(job_id: str) -> Steps[bytes]:
    """The rows that a finished job could not use, as CSV: row, column, reason."""
    return (yield Call("GET", f"{path_of(job_id)}/rejects")).content


def cancel(job_id: str) -> Steps[Job]:
    """Stop a job within a chunk of rows or a training step; one that has ended stays as it is."""
    return document_of((yield Call("DELETE", path_of(job_id), {}, {"Accept": JSON})))


def path_of(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def result_path(job_id: str, part: str | None = None) -> str:
    return f"{path_of(job_id)}/result" + ("" if part is None else f"/{quote(part, safe='')}")


def not_a_file(found: dict[str, Any]) -> ClientError:
    """The error for a result that is none of a file."""
    if found.get("model"):
        return ClientError(f"the job published a model: {found['model']}")
    if found.get("parts"):
        names = ", ".join(one["name"] for one in found["parts"][:3])
        return ClientError(f"the result is a folder of {len(found['parts'])} parts ({names}, ...)")
    return ClientError(f"the result is not on the server, but at {found.get('output')}")
