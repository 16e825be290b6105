"""What a finished job left: a file to download, whole or in ranges, a folder of parts, or a place elsewhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from ebm.data.streams.places import is_url
from service import errors
from service.bodies.media import ARROW_FILE, CSV, NPY, PARQUET
from service.errors import Problem
from service.jobs.job import Job
from service.schemas.jobs import ResultPart

MEDIA_TYPES = {
    ".parquet": PARQUET,
    ".csv": CSV,
    ".csv.gz": "application/gzip",
    ".arrow": ARROW_FILE,
    ".npy": NPY,
    ".json": "application/json",
}
REJECTS = "rejects.csv"  # beside a file after its name, in a folder after a line
NO_REJECTS = "row,column,reason\n"


class Found(NamedTuple):
    """A file there is to send: where, and its facts."""

    path: Path
    facts: os.stat_result


class Download(FileResponse):
    """A file as an attachment, with ranges; a range that is none is refused by a problem document as all else."""

    def __init__(self, found: Found):
        name = found.path.name
        suffix = next((end for end in sorted(MEDIA_TYPES, key=len)[::-1] if name.lower().endswith(end)), "")
        media_type = MEDIA_TYPES.get(suffix, "application/octet-stream")
        super().__init__(found.path, media_type=media_type, filename=name, stat_result=found.facts)
        self.headers["Cache-Control"] = "private, no-cache"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = False

        async def send_or_refuse(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                refused = True
            if not refused:
                await send(message)

        await super().__call__(scope, receive, send_or_refuse)
        if refused:
            size = self.stat_result.st_size if self.stat_result else 0
            detail = f"Range: no part of a file of {size} bytes"
            headers = {"Content-Range": f"bytes */{size}"}
            problem = Problem(416, "range-not-satisfiable", detail, headers=headers)
            answer = errors.render(problem, scope["path"], scope.get("request_id"))
            await answer(scope, receive, send)


def require_result(job: Job) -> None:
    """Raises a Problem, 409, where the job has not succeeded."""
    if job.state in ("queued", "running"):
        raise Problem(409, "job-not-finished", f"the job is {job.state}", state=job.state)
    if job.state != "succeeded":
        how = "was cancelled" if job.state == "cancelled" else "failed"
        raise Problem(409, "no-result", f"the job {how}, and left no result", state=job.state)


def result_of(job: Job) -> Found | list[ResultPart] | None:
    """The file, the parts of the folder, or None where it lies behind a URL. Blocks.

    Raises:
        Problem: 410 where it is there no more.
    """
    if is_url(job.output):
        return None
    path = _still(job.output)
    if stat.S_ISDIR(path.facts.st_mode):
        return [
            ResultPart(
                name=entry.name,
                bytes=entry.stat().st_size,
                href=f"/v1/jobs/{quote(job.id, safe='')}/result/{quote(entry.name, safe='')}",
            )
            for entry in _files(path.path)
        ]
    return path


def part_of(job: Job, name: str) -> Found:
    """One part of a folder. Raises a Problem, 404 where there is none of that name."""
    folder = None if is_url(job.output) else _still(job.output)
    if folder is not None and stat.S_ISDIR(folder.facts.st_mode):
        for entry in _files(folder.path):  # a name that is listed leads nowhere else
            if entry.name == name:
                return _still(entry.path)
    raise Problem(404, "not-found", f"the result has no part {name[:200]!r}")


def rejects_of(job: Job) -> Found | None:
    """The rows that could not be used; None where there were none."""
    if is_url(job.output):
        raise Problem(410, "result-gone", "the rejects are beside the output")
    folder = stat.S_ISDIR(_still(job.output).facts.st_mode)
    path = f"{job.output}/_{REJECTS}" if folder else f"{job.output}.{REJECTS}"
    return _still(path) if os.path.lexists(path) else None


def _files(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        found = [e for e in entries if e.is_file(follow_symlinks=False) and not e.name.startswith(".")]
    return sorted(found, key=lambda entry: entry.name)


def _still(place: str) -> Found:
    """The file or folder of that place, which was free of links when the job was accepted and has to be so still.

    Raises:
        Problem: 410.
    """
    try:
        if os.path.realpath(place) == place:
            facts = os.stat(place)
            if stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode):
                if os.access(place, os.R_OK):
                    return Found(Path(place), facts)
    except OSError:
        pass
    raise Problem(410, "result-gone", "the result is not there any more")
