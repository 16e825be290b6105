"""Jobs by the client: what is sent, how it waits, follows and downloads, with servers that are functions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from ebm.client import BadRequest, ClientError, NoAnswer, NotFound, Problem, Retries, TimedOut, Unavailable

JOB = {"id": "a/1", "state": "queued", "progress": {"done": 0}}
PATH = "/v1/jobs/a%2F1"
ONCE = Retries(attempts=1)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that ends too early."""

    def __init__(self, content: bytes):
        self.content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self.content
        raise httpx.ReadError("connection reset")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content
        raise httpx.ReadError("connection reset")


def in_turn(*answers: Any) -> Callable[[httpx.Request], httpx.Response]:
    """A server that gives these answers one after the other, and raises those that are exceptions."""
    left = iter(answers)

    def answer(_: httpx.Request) -> httpx.Response:
        found = next(left)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    return answer


def form_of(request: httpx.Request) -> dict[str, tuple[str, bytes]]:
    """The parts of a form in their order: name -> (headers, content)."""
    boundary = request.headers["content-type"].split("boundary=")[1].encode()
    found = {}
    for part in request.read().split(b"--" + boundary)[1:-1]:
        head, _, content = part[2:-2].partition(b"\r\n\r\n")
        found[head.split(b'name="')[1].split(b'"')[0].decode()] = head.decode(), content
    return found


def test_a_job_is_submitted_under_a_key_that_retries_keep(call: Any) -> None:
    options = {"fpr": 0.01}
    server = in_turn(httpx.Response(503), httpx.Response(202, json=JOB))
    found = call(server, "submit_job", "score", "pumps", "/d/in.parquet", "/d/out.parquet", options=options)
    assert found == JOB
    first, second = call.sent
    assert first.url.path == "/v1/jobs" and first.method == "POST"
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"] != ""
    assert orjson.loads(first.content) == {
        "kind": "score",
        "model": "pumps",
        "input": "/d/in.parquet",
        "output": "/d/out.parquet",
        "options": options,
    }
    call(in_turn(JOB), "submit_job", "generate", "pumps", idempotency_key="mine", version="2", engine="ray")
    assert call.sent[-1].headers["Idempotency-Key"] == "mine"
    asked = {"kind": "generate", "model": "pumps", "version": "2", "engine": "ray"}
    assert orjson.loads(call.sent[-1].content) == asked


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "open"])
def test_a_file_is_sent_after_its_job_and_again_whole_on_a_retry(
    call: Any, tmp_path: Path, stack: ExitStack, kind: str
) -> None:
    path = tmp_path / "rows \u00e9.csv"
    path.write_bytes(b"a,b\n1,2\n")
    given: dict[str, Any] = {"file": path}
    if kind == "text":
        given = {"file": str(path)}
    elif kind == "bytes":
        given = {"file": path.read_bytes(), "file_name": path.name}
    elif kind == "open":
        given = {"file": stack.enter_context(path.open("rb"))}
    seen = []

    def server(request: httpx.Request) -> httpx.Response:
        seen.append(form_of(request))
        return httpx.Response(503 if len(seen) == 1 else 202, json=JOB)

    assert call(server, "submit_job", "score", "pumps", output="out.csv", **given) == JOB
    assert len(seen) == 2 and seen[0] == seen[1]
    assert list(seen[1]) == ["job", "file"], "the server decides before the file is sent"
    head, content = seen[1]["job"]
    assert orjson.loads(content) == {"kind": "score", "model": "pumps", "output": "out.csv"}
    head, content = seen[1]["file"]
    assert content == b"a,b\n1,2\n" and 'filename="rows \u00e9.csv"' in head


def test_bytes_need_a_name(call: Any) -> None:
    with pytest.raises(ValueError, match="file_name"):
        call(in_turn(), "submit_job", "score", "pumps", file=b"a\n1\n")
    assert call.sent == []


def test_a_job_is_looked_at_fetched_and_stopped(call: Any) -> None:
    assert call(in_turn({"jobs": [JOB], "more": False}), "jobs", state="queued", limit=5) == [JOB]
    assert call(in_turn(JOB), "job", "a/1") == JOB
    assert call(lambda _: httpx.Response(200, content=b"PAR1"), "job_result", "a/1") == b"PAR1"
    assert call(lambda _: httpx.Response(200, content=b"PAR1"), "job_result", "a/1", part="p/0") == b"PAR1"
    assert call(lambda _: httpx.Response(200, content=b"row\n"), "job_rejects", "a/1") == b"row\n"
    cancelled = {**JOB, "state": "cancelled"}
    assert call(in_turn(cancelled), "cancel_job", "a/1") == cancelled
    sent = [(request.method, request.url.raw_path.decode()) for request in call.sent]
    assert sent == [
        ("GET", "/v1/jobs?state=queued&limit=5"),
        ("GET", PATH),
        ("GET", f"{PATH}/result"),
        ("GET", f"{PATH}/result/p%2F0"),
        ("GET", f"{PATH}/rejects"),
        ("DELETE", PATH),
    ]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"output": None, "model": "/v1/models/a", "parts": []}, "published a model"),
        ({"output": "/d", "model": None, "parts": [{"name": "p0", "bytes": 1}]}, "a folder of 1 parts"),
        ({"output": "s3://b/x", "model": None, "parts": []}, "at s3://b/x"),
    ],
)
def test_a_result_that_is_no_file_is_said(call: Any, found: Any, said: str) -> None:
    with pytest.raises(ClientError, match=said):
        call(in_turn(found), "job_result", "a/1")


def test_waiting_ends_with_the_job_and_tells_what_it_sees(call: Any) -> None:
    looks = [
        JOB,
        {**JOB, "state": "running", "progress": {"done": 5}},
        {**JOB, "state": "failed", "error": {"detail": "row 3"}},
    ]
    seen: list[Any] = []
    found = call(in_turn(*looks), "wait_for_job", "a/1", poll=7, on_progress=seen.append, timeout=100)
    assert found == looks[-1] and seen == looks
    assert call.clock.slept.count(7) == 2


def test_waiting_has_a_time_of_its_own(call: Any) -> None:
    with pytest.raises(TimedOut, match="job a/1 is queued after 100 s"):
        call(lambda _: httpx.Response(200, json=JOB), "wait_for_job", "a/1", poll=30, timeout=100)
    assert [s for s in call.clock.slept if s] == [30, 30, 30, 10]
    call.clock.slept.clear()
    looks = [JOB] * 50 + [{**JOB, "state": "succeeded"}]
    # Each look has the client's timeout: the wait as a whole has not.
    assert call(in_turn(*looks), "wait_for_job", "a/1", poll=10, timeout=None)["state"] == "succeeded"


def test_waiting_outlasts_a_server_that_is_away_but_not_for_ever(call: Any) -> None:
    away = [
        httpx.ConnectError("refused"),
        httpx.Response(503),
        httpx.Response(502),
        httpx.ReadTimeout("slow"),
    ]
    server = in_turn(JOB, *away, {**JOB, "state": "succeeded"})
    assert call(server, "wait_for_job", "a/1", retries=ONCE)["state"] == "succeeded"

    def gone(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    before = call.clock.now
    with pytest.raises(NoAnswer):
        call(gone, "wait_for_job", "a/1", poll=10, retries=ONCE)
    assert 300 <= call.clock.now - before <= 320
    with pytest.raises(NotFound):
        call(lambda _: httpx.Response(404), "wait_for_job", "a/1")


def test_following_gives_the_events(call: Any) -> None:
    events = [
        'event: progress\ndata: {"done":1}\nid: 1',
        ": ping",
        'event: done\ndata: {"state":"failed"}\nid: 2',
    ]
    text = "".join(f"{event}\n\n" for event in events)
    headers = {"content-type": "text/event-stream"}
    found = call(lambda _: httpx.Response(200, text=text, headers=headers), "follow_job", "a/1")
    assert [(event.name, event.data) for event in found] == [
        ("progress", {"done": 1}),
        ("done", {"state": "failed"}),
    ]
    assert call.sent[0].url.raw_path.decode() == f"{PATH}/events"
    text = 'event: error\ndata: {"status":404,"detail":"no job"}\n\n'
    with pytest.raises(NotFound, match="no job"):
        call(lambda _: httpx.Response(200, text=text, headers=headers), "follow_job", "a/1")


def test_a_result_is_downloaded_to_a_file_that_is_there_when_it_is_whole(call: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    target.write_bytes(b"before")
    found = call(lambda _: httpx.Response(200, content=b"PAR1" * 1000), "download_job_result", "a/1", target)
    assert found == target and target.read_bytes() == b"PAR1" * 1000
    with pytest.raises(BadRequest):
        call(lambda _: httpx.Response(409), "download_job_result", "a/1", str(target))
    assert target.read_bytes() == b"PAR1" * 1000 and list(tmp_path.iterdir()) == [target]


def test_a_download_goes_on_where_the_connection_broke(call: Any, tmp_path: Path) -> None:
    content, headers = b"0123456789", {"etag": '"e"'}

    def ranged(request: httpx.Request) -> httpx.Response:
        start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        assert request.headers["If-Range"] == '"e"' and start == 4
        return httpx.Response(206, content=content[start:], headers=headers)

    answers = iter(
        [
            lambda _: httpx.Response(200, stream=Broken(content[:4]), headers=headers),
            lambda _: httpx.Response(503),
            ranged,
        ]
    )
    target = tmp_path / "out.npy"
    call(lambda request: next(answers)(request), "download_job_result", "a/1", target, retries=ONCE)
    assert target.read_bytes() == content
    assert call.sent[0].headers["Accept-Encoding"] == "identity"
    changed = iter(
        [httpx.Response(200, stream=Broken(b"old"), headers=headers), httpx.Response(200, content=b"new")]
    )
    call(lambda _: next(changed), "download_job_result", "a/1", target, retries=ONCE)
    assert target.read_bytes() == b"new", "another file than the one begun is taken whole"
    removed = iter([httpx.Response(200, stream=Broken(b"old"), headers=headers), httpx.Response(410)])
    with pytest.raises(BadRequest):
        call(lambda _: next(removed), "download_job_result", "a/1", target, retries=ONCE)
    with pytest.raises(Unavailable):
        call(lambda _: httpx.Response(503), "download_job_result", "a/1", target, retries=ONCE)
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_downloaded_as_one(call: Any, tmp_path: Path) -> None:
    names = ["part-000000.parquet", "../../evil.parquet", "_summary.json"]
    listing = {"output": "/d/x", "model": None, "parts": [{"name": name, "bytes": 1} for name in names]}

    def server(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/result"):
            return httpx.Response(200, json=listing)
        headers = {"content-disposition": "attachment", "content-type": "application/json"}
        return httpx.Response(200, content=request.url.raw_path, headers=headers)

    target = tmp_path / "in" / "out"
    target.parent.mkdir()
    call(server, "download_job_result", "a/1", target)
    assert sorted(path.name for path in target.iterdir()) == [
        "_summary.json",
        "evil.parquet",
        "part-000000.parquet",
    ]
    assert (target / "evil.parquet").read_bytes().endswith(b"/result/..%2F..%2Fevil.parquet")
    assert list(tmp_path.rglob("*.part")) == []
    with pytest.raises(ClientError, match="is there already"):
        call(server, "download_job_result", "a/1", target)
    with pytest.raises(ClientError, match="published a model"):
        call(in_turn({"model": "/v1/models/a", "parts": []}), "download_job_result", "a/1", tmp_path / "x")


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_without_jobs_says_so(call: Any, status: int) -> None:
    with pytest.raises(Problem):
        call(lambda _: httpx.Response(status), "submit_job", "score", "pumps")
