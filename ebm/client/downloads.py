"""Results as files: streamed, gone on with where the connection broke, and there only when they are whole."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from ebm.client.batch import not_a_file, result_path
from ebm.client.calls import Call, Pause, Save, Steps, document_of, is_document
from ebm.client.errors import ClientError, NoAnswer, TimedOut, Unavailable

ATTEMPTS = 5  # without a byte more
PAUSE_S = 0.5


def download(job_id: str, to: str | Path, part: str | None = None) -> Steps[Path]:
    """What a finished job made, as the file `to`; of a result that is a folder, its parts in the folder `to`.

    Neither is there before it is whole. A connection that breaks is taken up where it broke.

    Args:
        part: only this one of a folder's parts.

    Raises:
        BadRequest: the job has not succeeded, or its result has expired.
        ClientError: the result is no file on the server, or `to` is a folder that is not empty.
        OSError: it cannot be written.
    """
    target = Path(to)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        found = yield from _save(result_path(job_id, part), beside)
        if found is not None:
            parts = found.get("parts")
            if not parts:
                raise not_a_file(found)
            if target.is_file() or target.is_dir() and any(target.iterdir()):
                raise ClientError(f"{target}: is there already; the result is a folder of {len(parts)} parts")
            beside.mkdir()
            for one in parts:
                name = Path(one["name"]).name
                yield from _save(result_path(job_id, one["name"]), beside / name)
        os.replace(beside, target)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        beside.unlink(missing_ok=True)
    return target


def _save(url: str, path: Path) -> Steps[dict[str, Any] | None]:
    """Save what is there at `url`; the document, where it is JSON."""
    etag, size, failed = None, 0, 0
    while True:
        headers = {"Accept-Encoding": "identity"}
        if size and etag is not None:
            headers |= {"Range": f"bytes={size}-", "If-Range": etag}
        save = Save(Call("GET", url, {}, headers), path)
        try:
            response = yield save
        except (NoAnswer, TimedOut, Unavailable):
            etag = save.etag or etag
            now = path.stat().st_size if path.exists() else 0
            failed = 0 if now > size else failed + 1
            size = now
            if failed >= ATTEMPTS:
                raise
        else:
            return document_of(response) if is_document(response) else None
        yield Pause(PAUSE_S)
