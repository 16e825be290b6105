"""What jobs left: files in ranges, folders of parts, rejects; and what is said where there is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from job_server import KEYS, SCORE, JobServer, job_server, refused

from service.jobs.job import JobError

ROWS = b"age,income,height\n41,3100,1.75\n"
CONTENT = bytes(range(256)) * 400


@pytest.fixture(scope="module")
def running_server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    with job_server(models_dir, tmp_path_factory.mktemp("results")) as server:
        yield server


@pytest.fixture
def server(running_server: JobServer) -> JobServer:
    server = running_server.clear()
    server.store.content = CONTENT
    (server.root / "rows.csv").write_bytes(ROWS)
    return server


def done(server: JobServer, **asked: Any) -> str:
    """The path of a job that has succeeded."""
    document = {**SCORE, "input": str(server.root / "rows.csv"), **asked}
    job_id = server.submit(document).json()["id"]
    server.store.succeed(job_id)
    return f"/v1/jobs/{job_id}"


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("out.parquet", "application/vnd.apache.parquet"),
        ("out.csv", "text/csv; charset=utf-8"),
        ("out.csv.gz", "application/gzip"),
        ("out.arrow", "application/vnd.apache.arrow.file"),
        ("out.NPY", "application/x-npy"),
    ],
)
def test_a_file_comes_with_its_type_and_name(server: JobServer, name: str, media: str) -> None:
    answer = server.client.get(f"{done(server, output=name)}/result")
    assert answer.status_code == 200 and answer.content == CONTENT
    assert answer.headers["content-type"] == media
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_ranges_are_parts_of_the_file(server: JobServer) -> None:
    url = f"{done(server)}/result"
    whole = server.client.get(url)
    part = server.client.get(url, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == CONTENT[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(CONTENT)}"
    assert server.client.get(url, headers={"Range": "bytes=-5"}).content == CONTENT[-5:]
    several = server.client.get(url, headers={"Range": "bytes=0-1,10-11"})
    assert several.status_code == 206 and several.headers["content-type"].startswith("multipart/byteranges")
    again = {"Range": "bytes=5-", "If-Range": whole.headers["etag"]}
    assert server.client.get(url, headers=again).content == CONTENT[5:]
    assert server.client.get(url, headers={**again, "If-Range": '"other"'}).content == CONTENT
    for bad in ("bytes=999999-", "bytes=5-1", "rows=1-2", "bytes", "bytes=", "bytes=a-b"):
        answer = server.client.get(url, headers={"Range": bad})
        refused(answer, 416)
        assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}", bad


def test_a_folder_lists_its_parts(server: JobServer, tmp_path: Path) -> None:
    url = f"{done(server, output=str(server.root / 'parts'))}/result"
    secret = tmp_path / "secret.csv"
    secret.write_text("x")
    (server.root / "parts" / "part-link.parquet").symlink_to(secret)
    (server.root / "parts" / ".lock").write_text("x")
    found = server.client.get(url).json()
    assert found["output"] == str(server.root / "parts")
    names = ["part-000000.parquet", "part-000001.parquet"]
    assert [part["name"] for part in found["parts"]] == names
    for part in found["parts"]:
        assert part["bytes"] == len(CONTENT) and server.client.get(part["href"]).content == CONTENT
    ranged = server.client.get(found["parts"][0]["href"], headers={"Range": "bytes=0-0"})
    assert ranged.status_code == 206
    for name in (
        "part-link.parquet",
        ".lock",
        "none",
        "..%2frows.csv",
        "%2e%2e",
        "part-000000.parquet%00",
    ):
        assert server.client.get(f"{url}/{name}").status_code == 404, name
    assert server.client.get(f"{done(server)}/result/part-000000.parquet").status_code == 404


def test_a_result_elsewhere_is_named(models_dir: Path, tmp_path: Path) -> None:
    with job_server(models_dir, tmp_path, job_roots=("s3://bucket/in",)) as server:
        asked = {**SCORE, "input": "s3://bucket/in/a.parquet", "output": "s3://bucket/in/b.parquet"}
        job_id = server.submit(asked).json()["id"]
        server.store.succeed(job_id)
        found = server.client.get(f"/v1/jobs/{job_id}/result").json()
        assert found == {"output": "s3://bucket/in/b.parquet", "model": None, "parts": []}
        refused(server.client.get(f"/v1/jobs/{job_id}/rejects"), 410)


def test_training_names_the_model(server: JobServer) -> None:
    url = done(server, kind="train", model="pumps", version="2", options={"preset": "tabular"})
    assert server.client.get(url).json()["output"] == "model:pumps"
    assert server.client.get(f"{url}/result").json()["model"] == "/v1/models/pumps/versions/2"
    refused(server.client.get(f"{url}/rejects"), 404)


@pytest.mark.parametrize(
    ("state", "slug"),
    [
        ("queued", "job-not-finished"),
        ("running", "job-not-finished"),
        ("failed", "no-result"),
        ("cancelled", "no-result"),
    ],
)
def test_what_has_not_succeeded_has_no_result(server: JobServer, state: str, slug: str) -> None:
    job_id = server.submit({**SCORE, "input": str(server.root / "rows.csv")}).json()["id"]
    server.store.put(job_id, state=state)
    for what in ("result", "result/part-000000.parquet", "rejects"):
        answer = server.client.get(f"/v1/jobs/{job_id}/{what}")
        refused(answer, 409)
        assert answer.json()["type"].endswith(slug) and answer.json()["state"] == state


def test_what_was_removed_or_put_elsewhere_is_gone(server: JobServer, tmp_path: Path) -> None:
    output = server.root / "out.csv"
    url = f"{done(server, output=str(output))}/result"
    output.unlink()
    refused(server.client.get(url), 410)
    (tmp_path / "secret.csv").write_text("secret")
    output.symlink_to(tmp_path / "secret.csv")
    refused(server.client.get(url), 410)


def test_rejects(server: JobServer) -> None:
    file, folder = done(server, output="out.csv"), done(server, output="parts")
    for url in (file, folder):
        empty = server.client.get(f"{url}/rejects")
        assert empty.status_code == 200 and empty.text == "row,column,reason\n"
    results = server.data / "results"
    for path in (*results.glob("*/out.csv"), *(part / "x" for part in results.glob("*/parts"))):
        rejects = path.parent / ("_rejects.csv" if path.name == "x" else "out.csv.rejects.csv")
        rejects.write_text("row,column,reason\n3,a,not a number\n")
    for url in (file, folder):
        found = server.client.get(f"{url}/rejects")
        assert found.headers["content-type"].startswith("text/csv") and found.text.endswith("not a number\n")


def test_folders_of_the_server_are_not_shown(server: JobServer) -> None:
    job_id = server.submit(SCORE, ROWS, "rows.csv").json()["id"]
    place = server.store.submissions[job_id].input
    server.store.succeed(job_id)
    server.store.put(job_id, error=JobError(detail=f"{place}: row 3; {server.data}/runs/x"))
    answer = server.client.get(f"/v1/jobs/{job_id}")
    found = answer.json()
    assert str(server.data) not in answer.text
    assert found["error"]["detail"] == "upload:rows.csv: row 3; runs/x"
    assert found["summary"]["output"]["path"] == "result:rows.scored.parquet"


def test_a_signature_in_a_url_is_not_shown(models_dir: Path, tmp_path: Path) -> None:
    with job_server(models_dir, tmp_path, job_roots=("https://example.org/",)) as server:
        answer = server.submit({**SCORE, "input": "https://example.org/a.csv?sig=secret"})
        assert answer.json()["input"] == "https://example.org/a.csv" and "secret" not in answer.text


def test_a_key_sees_its_own_jobs_only_and_an_administrator_all(models_dir: Path, tmp_path: Path) -> None:
    with job_server(models_dir, tmp_path, api_keys=KEYS) as server:
        mine = server.submit(SCORE, ROWS, **server.as_key("scorer")).json()["id"]
        server.store.succeed(mine)

        def get(path: str, key: str, method: str = "GET") -> Any:
            headers = {name.replace("_", "-"): value for name, value in server.as_key(key).items()}
            return server.client.request(method, path, headers=headers)

        for path in ("", "/events", "/result", "/rejects", "/result/part"):
            for key in ("other", "maker"):
                answer = get(f"/v1/jobs/{mine}{path}", key)
                assert refused(answer, 404) and answer.json()["type"].endswith("unknown-job")
            for key in ("scorer", "boss"):
                assert get(f"/v1/jobs/{mine}{path}", key).status_code == (404 if "part" in path else 200)
        refused(get(f"/v1/jobs/{mine}", "other", "DELETE"), 404)
        assert get("/v1/jobs", "other").json() == {"jobs": [], "more": False}
        for key in ("scorer", "boss"):
            assert [job["id"] for job in get("/v1/jobs", key).json()["jobs"]] == [mine]
