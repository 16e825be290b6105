"""Uploads: whole on the disk or not at all, whatever their size, and never in memory."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from fake_jobs import FakeJobs
from job_server import KEYS, SCORE, JobServer, job_server, refused
from live_server import live_server

from ebm.errors import BadInput
from service.errors import Problem
from service.jobs_http import upload as uploading
from service.jobs_http.form import FormReader
from service.jobs_http.names import safe_name, stem_of
from service.settings import Settings
from service.telemetry.requests import in_time

ROWS = b"age,income,height\n41,3100,1.75\n"
HEAD = (
    b'--b\r\nContent-Disposition: form-data; name="job"\r\n\r\n{"kind":"score","model":"people"}\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="rows.csv"\r\n\r\n'
)
FORM = HEAD + ROWS + b"\r\n--b--\r\n"
TYPE = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def running_server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    with job_server(
        models_dir, tmp_path_factory.mktemp("upload"), max_body_bytes=10_000, max_upload_bytes=2_000_000
    ) as server:
        yield server


@pytest.fixture
def server(running_server: JobServer) -> JobServer:
    server = running_server.clear()
    return server


def post(server: JobServer, content: Any) -> httpx.Response:
    return server.client.post("/v1/jobs", content=content, headers=TYPE)


def test_a_file_of_many_bodies_arrives_whole(server: JobServer) -> None:
    rows = ROWS + b"41,3100,1.75\n" * 100_000
    answer = server.submit(SCORE, rows, "my rows.csv")
    assert answer.status_code == 202, answer.text
    assert answer.json()["input"] == "upload:my rows.csv"
    assert answer.json()["output"] == "result:my rows.scored.parquet"
    place = Path(next(iter(server.store.submissions.values())).input or "")
    assert place.read_bytes() == rows and place.parents[1] == server.data / "uploads"
    assert len(server.uploads) == 1


def test_any_cut_of_a_form_is_read_alike(server: JobServer) -> None:
    async def pieces(at: int) -> Any:
        for start in range(0, len(FORM), at):
            yield FORM[start : start + at]

    for at in (1, 7, 64, len(FORM)):
        assert post(server, pieces(at)).status_code == 202
    found = {Path(one.input or "").read_bytes() for one in server.store.submissions.values()}
    assert found == {ROWS} and len(server.uploads) == 4


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/rows.csv", "rows.csv"),
        ("C:\\data\\rows.csv", "rows.csv"),
        (".hidden.csv", "hidden.csv"),
        ("...", "file"),
        ("", "file"),
        ("a\0b\n.csv", "a_b_.csv"),
        ("r\u00e9sum\u00e9 \u8868.parquet", "r\u00e9sum\u00e9 \u8868.parquet"),
        ("x" * 500 + ".csv.gz", "x" * 93 + ".csv.gz"),
        ("\u8868" * 100 + ".csv", "\u8868" * 32 + ".csv"),
        ("{job}.csv", "_job_.csv"),
    ],
)
def test_the_name_of_a_file_is_made_safe(name: str, kept: str) -> None:
    assert safe_name(name) == kept and safe_name(kept) == kept


def test_stems() -> None:
    names = {
        "/a/rows.csv.gz": "rows",
        "s3://b/x.y.parquet": "x.y",
        "https://h/r.csv?a=b/c.d": "r",
        "/data/folder/": "folder",
        "rows": "rows",
    }
    for place, stem in names.items():
        assert stem_of(place) == stem


def test_over_the_limit_is_413_and_leaves_nothing(server: JobServer) -> None:
    answer = server.submit(SCORE, b"x" * 2_000_001)
    assert refused(answer, 413) and answer.json()["setting"] == "EBM_MAX_UPLOAD_BYTES"

    async def endless() -> Any:
        yield HEAD
        for _ in range(100):
            yield b"x" * 100_000

    refused(post(server, endless()), 413)
    claimed = {**TYPE, "Content-Length": "99999999999"}
    refused(server.client.post("/v1/jobs", content=FORM, headers=claimed), 413)
    assert server.uploads == [] and not server.store.jobs


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (FORM[:-10], "cut off"),
        (b"--b--\r\n", "no part 'job'"),
        (b"nonsense", "damaged"),
        (b"", "cut off"),
        (HEAD + b"\r\n--b--\r\n", "file is empty"),
        (FORM.replace(b'name="job"', b'name="jobs"'), "the form's part 'jobs'"),
        (FORM.replace(b"--b--", HEAD[:-2] + b"\r\nx\r\n--b--"), "the form's part 'job'"),
        (FORM.replace(HEAD[: HEAD.index(b"--b", 5)], b""), "the form's part 'file'"),
        (FORM.replace(b"rows.csv", b"rows.xlsx"), "file: rows.xlsx: unknown kind of file"),
        (FORM.replace(b'filename="rows.csv"', b'filename=""'), "file: file: unknown kind of file"),
        (FORM.replace(b'{"kind":"score"', b'{"kind":"guess"'), "kind: "),
        (FORM.replace(b'"people"', b'"people","input":"/x"'), "input: there is a file, too"),
        (FORM.replace(b'{"kind"', b'{"a":"' + b"x" * 2**21 + b'","kind"'), "longer than"),
        (FORM.replace(b'"job"\r\n', b'"job"\r\nX: ' + b"x" * 20_000 + b"\r\n"), "eader"),
    ],
)
def test_a_form_that_is_none_leaves_nothing(server: JobServer, content: bytes, said: str) -> None:
    assert said in refused(post(server, content))
    assert server.uploads == [] and not server.store.jobs


def test_a_form_may_name_a_place_instead_of_a_file(server: JobServer) -> None:
    (server.root / "rows.csv").write_bytes(ROWS)
    document = {**SCORE, "input": str(server.root / "rows.csv")}
    files = {"job": (None, orjson.dumps(document), "application/json")}
    assert server.client.post("/v1/jobs", files=files).status_code == 202


def test_compressed_forms_are_refused(server: JobServer) -> None:
    answer = server.client.post("/v1/jobs", content=FORM, headers={**TYPE, "Content-Encoding": "gzip"})
    refused(answer, 415)


def test_what_is_refused_is_refused_before_the_file_is_stored(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    monkeypatch.setattr(uploading.Upload, "write", lambda *_: written.append(1))
    with job_server(models_dir, tmp_path, api_keys=KEYS) as server:
        refused(server.submit({"kind": "generate", "model": "blobs"}, ROWS, **server.as_key("scorer")), 403)
        refused(server.submit({**SCORE, "model": "none"}, ROWS, **server.as_key("scorer")), 404)
        refused(server.submit(SCORE, ROWS), 401)
    assert written == []


def test_a_store_that_refuses_leaves_nothing_and_one_that_is_away_what_it_may_have(server: JobServer) -> None:
    server.store.fails = Problem(429, "queue-full", "full", headers={"Retry-After": "1"})
    refused(server.submit(SCORE, ROWS), 429)
    assert server.uploads == []
    server.store.fails = OSError("connection lost")  # the job may be there: its input has to be, too
    refused(server.submit(SCORE, ROWS), 503)
    assert len(server.uploads) == 1


def test_a_repeated_upload_is_kept_once(server: JobServer) -> None:
    ids = [server.submit(SCORE, ROWS, Idempotency_Key="k").json()["id"] for _ in range(2)]
    assert ids[0] == ids[1] and len(server.uploads) == 1
    refused(server.submit({**SCORE, "options": {"fpr": 0.5}}, ROWS, Idempotency_Key="k"), 409)
    assert len(server.uploads) == 1


def test_a_full_disk_is_507_and_leaves_nothing(server: JobServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(uploading.os, "fsync", full)
    answer = server.submit(SCORE, ROWS)
    assert "no space left on device" in refused(answer, 507) and answer.json()["type"].endswith(
        "storage-full"
    )
    assert server.uploads == []


def test_a_client_that_goes_away_leaves_nothing(models_dir: Path, tmp_path: Path) -> None:
    settings = Settings(models_dir=models_dir, data_dir=tmp_path, log_level="error")
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
    head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    folder, store = tmp_path / "uploads", FakeJobs()

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition() and time.monotonic() < end:
            time.sleep(0.01)
        assert condition()

    with live_server(settings, store) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(head + HEAD + b"x" * 3_000_000)
            until(lambda: any(path.is_file() for path in folder.rglob("*")))
        until(lambda: not any(folder.rglob("*")))
    assert not store.jobs


def test_a_slow_upload_is_not_cut_while_bytes_keep_coming(models_dir: Path, tmp_path: Path) -> None:
    settings = Settings(models_dir=models_dir, data_dir=tmp_path, log_level="error", body_timeout_s=1)

    def slowly() -> Iterator[bytes]:
        for i in range(0, len(FORM), 20):
            time.sleep(0.1)
            yield FORM[i : i + 20]

    with live_server(settings, FakeJobs()) as address:
        answer = httpx.post(f"{address}/v1/jobs", content=slowly(), headers=TYPE, timeout=60)
        assert answer.status_code == 202, answer.text
        assert answer.elapsed.total_seconds() > 1


def test_one_that_stops_coming_is_cut() -> None:
    async def receive() -> Any:
        await asyncio.sleep(60)

    with pytest.raises(Problem, match="did not arrive"):
        asyncio.run(in_time(receive, 0.01, {"long_body": True})())  # type: ignore[arg-type]


def test_an_upload_takes_no_memory(tmp_path: Path) -> None:
    piece = b"x" * 65_536
    n = 1000

    class Request:
        scope: dict[str, Any] = {"headers": []}
        left = n

        async def receive(self) -> dict[str, Any]:
            self.left -= 1
            if self.left == n - 1:
                return {"type": "http.request", "body": HEAD, "more_body": True}
            body = piece if self.left else b"\r\n--b--\r\n"
            return {"type": "http.request", "body": body, "more_body": self.left > 0}

    async def check(document: bytes, place: str | None) -> None:
        assert b"people" in document and place is not None

    async def receive() -> Any:
        return await uploading.receive_form(Request(), "b", tmp_path, 10**9, check)  # type: ignore[arg-type]

    tracemalloc.start()
    try:
        found = asyncio.run(receive())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert Path(found.place).stat().st_size == (n - 2) * len(piece)
    assert peak < 12_000_000, "64 MB went through"


def test_what_a_dead_process_was_receiving_is_swept(tmp_path: Path) -> None:
    for name, age in ((".dead", 90_000), (".alive", 10), ("whole", 90_000)):
        folder = tmp_path / "uploads" / name
        folder.mkdir(parents=True)
        (folder / "rows.csv").write_text("x")
        for path in (folder / "rows.csv", folder):
            os.utime(path, (time.time() - age,) * 2)
    os.utime(tmp_path / "uploads" / ".alive", (0, 0))
    uploading.sweep(tmp_path)
    assert sorted(path.name for path in (tmp_path / "uploads").iterdir()) == [".alive", "whole"]
    uploading.sweep(tmp_path / "none")


def test_a_boundary_is_needed() -> None:
    for boundary in ("", "x" * 201):
        with pytest.raises(BadInput, match="boundary"):
            FormReader(boundary)
