"""What the tests of jobs over HTTP share: an app with a store in memory, and a folder that jobs may use."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
from fake_jobs import FakeJobs
from in_process import running

from service.api_keys import digest
from service.settings import Settings

SECRETS = {name: f"{name}-{'x' * 40}" for name in ("scorer", "other", "maker", "boss")}
KEYS = [
    {"name": name, "sha256": digest(SECRETS[name]), "scopes": [scope]}
    for name, scope in (("scorer", "score"), ("other", "score"), ("maker", "generate"), ("boss", "admin"))
]
SCORE = {"kind": "score", "model": "people"}


@dataclass
class JobServer:
    client: Any
    store: FakeJobs
    root: Path
    data: Path

    def submit(self, document: Any, file: bytes | None = None, name: str = "rows.csv", **headers: str) -> Any:
        """POST /v1/jobs; with a file as a form."""
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        if file is None:
            return self.client.post("/v1/jobs", json=document, headers=sent)
        files = {"job": (None, orjson.dumps(document)), "file": (name, file)}
        return self.client.post("/v1/jobs", files=files, headers=sent)

    def clear(self) -> JobServer:
        """As new: no jobs, and no files."""
        self.store.clear()
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.root)
        self.root.mkdir()
        return self

    def as_key(self, name: str) -> dict[str, str]:
        return {"X_API_Key": SECRETS[name]}

    @property
    def uploads(self) -> list[str]:
        """All files in the folder of uploads, the hidden ones too."""
        folder = self.data / "uploads"
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@contextlib.contextmanager
def job_server(
    models_dir: Path, folder: Path, store: FakeJobs | None = None, **settings: Any
) -> Iterator[JobServer]:
    root, data = folder / "root", folder / "data"
    root.mkdir(exist_ok=True)
    store = store or FakeJobs()
    given = {"models_dir": models_dir, "data_dir": data, "job_roots": (str(root),), "log_level": "error"}
    with running(Settings(**{**given, **settings}), store) as client:
        yield JobServer(client, store, root, data)


def refused(answer: httpx.Response, status: int = 422) -> str:
    """The detail of a problem document of this status."""
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json" and document["status"] == status
    return document["detail"]
