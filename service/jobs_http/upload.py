"""Uploads: a file of any size on its way to the disk, never whole in memory, and gone unless it arrives whole."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ebm.errors import BadInput, Cancelled
from service.bodies.body import too_large
from service.bodies.media import header
from service.errors import Problem
from service.jobs.places import UPLOADS
from service.jobs_http.form import MAX_DOCUMENT_BYTES, FormReader
from service.jobs_http.names import safe_name

GATHER_BYTES = 2**20  # written at once
OLD_S = 24 * 3600.0
LIMIT = "max_upload_bytes"


class Upload:
    """One file, in a hidden folder until it is whole. `place` is where it will be."""

    def __init__(self, data_dir: Path, name: str):
        number = uuid.uuid4().hex
        self._hidden, self.folder = data_dir / UPLOADS / f".{number}", data_dir / UPLOADS / number
        self._name = safe_name(name)
        self.place = str(self.folder / self._name)
        self._file: BinaryIO | None = None

    def write(self, pieces: list[bytes]) -> None:
        """Raises a Problem, 507, where there is no room."""
        try:
            if self._file is None:
                self._hidden.mkdir(parents=True)
                self._file = (self._hidden / self._name).open("xb", buffering=0)
            for piece in pieces:
                rest = memoryview(piece)
                while rest:  # a file without a buffer may take less than it is given
                    rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _full(error) from None

    def finish(self) -> None:
        """Make the file whole: on the disk, and under its name."""
        self.write([])
        assert self._file is not None
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            os.rename(self._hidden, self.folder)
        except OSError as error:
            raise _full(error) from None

    def discard(self) -> None:
        """Remove all of it."""
        if self._file is not None:
            self._file.close()
        for folder in (self._hidden, self.folder):
            shutil.rmtree(folder, ignore_errors=True)


async def receive_form(
    request: Request,
    boundary: str,
    data_dir: Path,
    limit: int,
    check: Callable[[bytes, str | None], Awaitable[None]],
) -> Upload | None:
    """Read a form to its end; the upload that was in it.

    Args:
        limit: bytes of the file.
        check: called once, with the document and the place of the upload, before any of it is stored: what it refuses
            need not be sent.

    Raises:
        Problem: 413 over the limit, 507 where the disk is full; what `check` raises. Nothing stays behind.
        BadInput: the form is damaged. Cancelled: the client went away.
    """
    claimed = header(request, b"content-length") or ""
    if claimed.isascii() and claimed.isdigit() and int(claimed[:20]) > limit + 2 * MAX_DOCUMENT_BYTES:
        raise too_large(limit, LIMIT, "the file")
    request.scope["long_body"] = True
    reader, upload, size = FormReader(boundary), None, 0
    waiting: list[bytes] = []
    gathered, more = 0, True
    try:
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise Cancelled("the client went away while sending")
            pieces = reader.feed(message.get("body", b""))
            more = message.get("more_body", False)
            if upload is None and reader.file_name is not None:
                assert reader.document is not None
                upload = Upload(data_dir, reader.file_name)
                await check(reader.document, upload.place)
            now = sum(map(len, pieces))
            size, gathered = size + now, gathered + now
            if size > limit:
                raise too_large(limit, LIMIT, "the file")
            waiting += pieces
            if upload is not None and gathered >= GATHER_BYTES:
                await run_in_threadpool(upload.write, waiting)
                waiting, gathered = [], 0
        reader.finish()
        if upload is None:
            assert reader.document is not None
            await check(reader.document, None)
            return None
        if not size:
            raise BadInput("the form's file is empty")
        await run_in_threadpool(upload.write, waiting)
        await run_in_threadpool(upload.finish)
        return upload
    except BaseException:
        if upload is not None:
            await remove(upload)
        raise


async def remove(upload: Upload) -> None:
    """`discard` in a thread, which goes on where the request is cancelled."""
    done = asyncio.get_running_loop().run_in_executor(None, upload.discard)
    await asyncio.shield(done)


def sweep(data_dir: Path, older_than_s: float = OLD_S) -> None:
    """Remove what uploads left that a dead process was receiving."""
    uploads = data_dir / UPLOADS
    if not uploads.is_dir():
        return
    for folder in uploads.glob(".*"):
        times = [path.stat().st_mtime for path in (folder, *folder.glob("*")) if path.exists()]
        if times and time.time() - max(times) > older_than_s:
            shutil.rmtree(folder, ignore_errors=True)


def _full(error: OSError) -> Problem:
    reason = (error.strerror or type(error).__name__).lower()
    return Problem(507, "storage-full", f"the file cannot be stored: {reason}")
