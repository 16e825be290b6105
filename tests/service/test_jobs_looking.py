"""Looking at jobs: lists, events, cancelling, and a database that is away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from fake_jobs import FakeJobs
from httpx_sse import EventSource
from job_server import SCORE, JobServer, job_server, refused
from live_server import live_server

from service.jobs.job import JobError, JobProgress
from service.jobs_http import access, following, looks
from service.jobs_http.looks import Looks
from service.settings import Settings

ROWS = b"age,income,height\n41,3100,1.75\n"


@pytest.fixture(scope="module")
def running_server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    with job_server(models_dir, tmp_path_factory.mktemp("looking"), max_requests=2) as server:
        yield server


@pytest.fixture
def server(running_server: JobServer, monkeypatch: pytest.MonkeyPatch) -> JobServer:
    monkeypatch.setattr(following, "POLL_S", 0.001)
    monkeypatch.setattr(looks, "POLL_S", 0.001)
    return running_server.clear()


def submitted(server: JobServer) -> str:
    return server.submit(SCORE, ROWS).json()["id"]


def events(answer: httpx.Response) -> list[tuple[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = list(EventSource(answer).iter_sse())
    assert [event.id for event in found] == [str(i) for i in range(1, len(found) + 1)]
    return [(event.event, orjson.loads(event.data)) for event in found]


def test_the_list_is_filtered_and_cut(server: JobServer) -> None:
    ids = [submitted(server) for _ in range(3)]
    server.store.succeed(ids[0])
    server.submit({"kind": "generate", "model": "blobs", "options": {"n": 1}})

    def listed(query: str) -> tuple[list[str], bool]:
        found = server.client.get(f"/v1/jobs?{query}").json()
        return [job["id"] for job in found["jobs"]], found["more"]

    assert listed("kind=score") == (ids[::-1], False)
    assert listed("state=succeeded") == ([ids[0]], False)
    assert listed("kind=score&limit=2") == (ids[:0:-1], True)
    assert listed("kind=score&limit=2&offset=2") == ([ids[0]], False)
    for query, said in (
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("state=lost", "state"),
        ("of=me", "of"),
    ):
        assert refused(server.client.get(f"/v1/jobs?{query}")).startswith(said)


def test_a_job_is_cancelled_once(server: JobServer) -> None:
    job_id = submitted(server)
    for _ in range(2):
        answer = server.client.request("DELETE", f"/v1/jobs/{job_id}")
        assert answer.status_code == 200 and answer.json()["state"] == "cancelled"
    done = submitted(server)
    server.store.succeed(done)
    assert server.client.request("DELETE", f"/v1/jobs/{done}").json()["state"] == "succeeded"
    refused(server.client.request("DELETE", "/v1/jobs/none"), 404)


def test_events_tell_every_change_once_and_then_the_end(
    server: JobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submitted(server)
    steps: list[Callable[[], Any]] = [
        lambda: server.store.put(job_id, state="running", attempts=1),
        lambda: None,
        lambda: server.store.put(job_id, progress=JobProgress(done=5, total=10, per_second=2.5)),
        lambda: None,
        lambda: server.store.put(job_id, state="failed", error=JobError(detail="row 7 is bad", row=7)),
    ]
    get = server.store.get

    def moving(*args: Any) -> Any:
        if server.store.gets and steps:
            steps.pop(0)()
        return get(*args)

    monkeypatch.setattr(server.store, "get", moving)
    server.store.gets = 0
    found = events(server.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "9"}))
    assert [name for name, _ in found] == ["progress", "progress", "progress", "done"]
    assert [document["state"] for _, document in found] == ["queued", "running", "running", "failed"]
    assert found[2][1]["done"] == 5 and found[2][1]["per_second"] == 2.5
    assert found[3][1]["error"]["row"] == 7


def test_events_of_what_has_ended_are_its_end_and_of_none_a_404(server: JobServer) -> None:
    job_id = submitted(server)
    server.store.succeed(job_id)
    assert [name for name, _ in events(server.client.get(f"/v1/jobs/{job_id}/events"))] == ["done"]
    refused(server.client.get("/v1/jobs/none/events"), 404)


def test_a_job_that_is_removed_meanwhile_ends_the_events_with_the_problem(
    server: JobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submitted(server)
    get = server.store.get

    def vanishing(*args: Any) -> Any:
        found = get(*args)
        server.store.jobs.pop(job_id, None)
        return found

    monkeypatch.setattr(server.store, "get", vanishing)
    (first, _), (last, problem) = events(server.client.get(f"/v1/jobs/{job_id}/events"))
    assert (first, last, problem["status"]) == ("progress", "error", 404)


def test_those_who_follow_outlast_a_database_that_is_away_for_a_while(
    server: JobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submitted(server)
    answers: list[Any] = [server.store.get, OSError("away"), OSError("away"), server.store.get]
    real = server.store.get

    def unsteady(*args: Any) -> Any:
        now = answers.pop(0) if answers else real
        if isinstance(now, Exception):
            raise now
        if not answers:
            server.store.put(job_id, state="cancelled")
        return now(*args)

    monkeypatch.setattr(server.store, "get", unsteady)
    assert [name for name, _ in events(server.client.get(f"/v1/jobs/{job_id}/events"))] == [
        "progress",
        "done",
    ]
    server.store.put(job_id, state="queued")
    monkeypatch.setattr(following, "AWAY_S", 0)
    answers[:] = [real, OSError("away")]
    found = events(server.client.get(f"/v1/jobs/{job_id}/events"))
    assert [name for name, _ in found] == ["progress", "error"] and found[1][1]["status"] == 503


def test_so_many_may_follow_and_the_place_of_one_that_leaves_is_free(
    models_dir: Path, tmp_path: Path
) -> None:
    settings = Settings(models_dir=models_dir, data_dir=tmp_path, log_level="error", max_requests=2)
    store = FakeJobs()
    with live_server(settings, store) as address, httpx.Client(base_url=address, timeout=60) as client:
        body = {"kind": "generate", "model": "blobs", "options": {"n": 1}}
        url = f"/v1/jobs/{client.post('/v1/jobs', json=body).json()['id']}/events"
        with client.stream("GET", url) as followed:
            pieces = followed.iter_raw()
            assert b"progress" in next(pieces)
            with client.stream("GET", url) as full:
                assert full.status_code == 429 and full.headers["Retry-After"]
        store.cancel("job1")
        for _ in range(1000):  # the server has yet to see that the client left
            if (answer := client.get(url)).status_code == 200:
                break
        assert "done" in answer.text


def test_a_job_is_looked_at_once_for_all_who_follow() -> None:
    started, asked = asyncio.Event(), []

    async def look(job_id: str) -> Any:
        asked.append(job_id)
        await started.wait()
        return job_id

    async def run() -> None:
        found = Looks(look)
        waiting = [asyncio.ensure_future(found.get("a")) for _ in range(5)]
        for _ in range(3):
            await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        started.set()
        assert await asyncio.gather(*waiting[1:]) == ["a"] * 4

    asyncio.run(run())
    assert asked == ["a"]


def test_a_store_that_fails_is_503_and_never_500(server: JobServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.store.fails = RuntimeError("postgresql://me:secret@db failed")
    for method, path in (
        ("GET", ""),
        ("GET", "/x"),
        ("GET", "/x/result"),
        ("GET", "/x/events"),
        ("DELETE", "/x"),
    ):
        answer = server.client.request(method, f"/v1/jobs{path}")
        assert "secret" not in refused(answer, 503) and answer.headers["Retry-After"] == "5"
        assert answer.json()["type"].endswith("jobs-unavailable")
    assert server.client.get("/readyz").status_code == 200
    assert server.client.get("/healthz").status_code == 200
    stuck = threading.Event()
    monkeypatch.setattr(access, "PATIENCE_S", 0.01)
    monkeypatch.setattr(server.store, "get", lambda *_: stuck.wait(60))
    assert "does not answer" in refused(server.client.get("/v1/jobs/x"), 503)
    stuck.set()
    monkeypatch.setattr(access, "MOST_WAITING", 0)
    assert "too many" in refused(server.client.get("/v1/jobs/x"), 503)


def test_a_server_without_jobs_says_so(serve: Any) -> None:
    client = serve(jobs="off")
    for method, path in (("POST", ""), ("GET", ""), ("GET", "/x"), ("DELETE", "/x"), ("GET", "/x/result")):
        answer = client.request(method, f"/v1/jobs{path}")
        refused(answer, 503)
        assert answer.json()["type"].endswith("jobs-off")


def test_an_app_that_is_asked_for_no_job_makes_no_folder(serve: Any, tmp_path: Path) -> None:
    client = serve(data_dir=tmp_path / "data")
    assert client.get("/readyz").status_code == 200
    assert not (tmp_path / "data").exists()


def test_the_store_is_closed_with_the_server(models_dir: Path, tmp_path: Path) -> None:
    with job_server(models_dir, tmp_path) as server:
        assert not server.store.closed
    assert server.store.closed


def test_jobs_are_counted_by_kind_and_state(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = [], threading.Event()

    def counts() -> dict[tuple[str, str], int]:
        asked.append(1)
        answered.set()
        return {("score", "running"): 2}

    store = FakeJobs()
    monkeypatch.setattr(store, "counts", counts, raising=False)
    with job_server(models_dir, tmp_path, store) as server:
        assert "ebm_jobs{" not in server.client.get("/metrics").text
        assert asked == [], "no database is made for the metrics"
        server.data.mkdir()
        server.client.get("/metrics")
        assert answered.wait(60)
        for _ in range(1000):  # what the thread said has yet to reach the event loop
            if "ebm_jobs{" in (text := server.client.get("/metrics").text):
                break
        assert 'ebm_jobs{kind="score",state="running"} 2.0' in text
        assert len(asked) == 1, "no more than every few seconds"


def test_limits_are_shown(server: JobServer) -> None:
    found = server.client.get("/v1/limits").json()
    assert found["max_upload_bytes"] == 10 * 2**30 and found["job_queue"] == 1000
