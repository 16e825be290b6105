"""Server-sent events: their framing, their order, and what happens when something goes wrong on the way."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import numpy as np
import orjson
import pytest
from httpx_sse import EventSource
from long_calls import picture
from test_client_gone import call

from service import events

URL = "/v1/models/blobs/generate"
STREAM = {"accept": "text/event-stream"}


def sent(
    client: Any, url: str = URL, *, json: Any, headers: dict[str, str] | None = None
) -> list[tuple[str, dict[str, Any]]]:
    answer = client.post(url, json=json, headers=STREAM | (headers or {}))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store" and "content-length" not in answer.headers
    found = list(EventSource(answer).iter_sse())
    assert [event.id for event in found] == [str(i) for i in range(1, len(found) + 1)]
    return [(event.event, orjson.loads(event.data)) for event in found]


def test_progress_comes_before_the_snapshots_and_the_samples_last(client: Any, detectors: Any) -> None:
    body = {"n": 2, "seed": 5, "n_steps": 5, "keep_every": 10}
    want = detectors["blobs"].generate(**body)
    found = sent(client, json=body)
    names = [name for name, _ in found]
    assert names[0] == "progress" and names[-1] == "done" and names.count("done") == 1
    steps = [document["step"] for name, document in found if name == "progress"]
    assert steps == sorted(set(steps)) and steps[-1] <= 26
    assert {document["n_total"] for name, document in found if name == "progress"} == {26}
    snapshots = [document for name, document in found if name == "snapshot"]
    assert [one["step"] for one in snapshots] == [10, 20]
    for before, (name, document) in zip(found, found[1:], strict=False):
        if name == "snapshot":
            assert before == ("progress", {"step": document["step"], "n_total": 26})
    for one, kept in zip(snapshots, want.snapshots, strict=True):
        head, content = one["png"].split(",")
        assert head == "data:image/png;base64"
        grid = picture(base64.b64decode(content))
        np.testing.assert_allclose(grid[1:31:5, 1:26:5], kept[0] / 16 * 255, atol=0.51)
    done = found[-1][1]
    np.testing.assert_allclose(done["samples"], want.samples, rtol=1e-5, atol=1e-5)
    assert done["seed"] == 5 and done["snapshots"] is None and done["png"].startswith("data:image/png")
    assert done["samples"] == client.post(URL, json=body).json()["samples"]


def test_snapshots_of_tables_are_rows(both: Any) -> None:
    found = sent(both, "/v1/models/mixed/generate", json={"n": 3, "keep_every": 4})
    snapshots = [document for name, document in found if name == "snapshot"]
    assert [one["step"] for one in snapshots] == [4, 8]
    assert len(snapshots[0]["samples"]) == 3 and len(snapshots[0]["samples"][0]) == 4
    assert "png" not in found[-1][1] and len(found[-1][1]["samples"]) == 3


def test_every_line_is_a_field_and_every_event_ends_with_an_empty_line(client: Any) -> None:
    text = client.post(URL, json={"n": 1}, headers=STREAM).text
    assert text.endswith("\n\n") and "\r" not in text
    for block in text.removesuffix("\n\n").split("\n\n"):
        fields = [line.split(": ", 1)[0] for line in block.split("\n")]
        assert sorted(fields) == ["data", "event", "id"]


def test_what_fails_on_the_way_is_an_event(serve: Callable[..., Any]) -> None:
    client = serve(max_steps=10**9, chunk_steps=1)
    late = sent(client, json={"n_steps": 10**7, "n": 1}, headers={"x-timeout-seconds": "0.3"})
    assert [name for name, _ in late].count("error") == 1 and late[-1][0] == "error"
    assert late[-1][1]["status"] == 504 and late[-1][1]["type"].endswith("deadline-passed")
    assert late[-1][1]["request_id"] and late[0][0] == "progress"
    broken = sent(client, json={"step_size": 1e30, "n": 1})
    assert broken[-1][0] == "error" and broken[-1][1]["status"] == 422
    assert "step_size" in broken[-1][1]["detail"]


def test_what_fails_before_the_first_step_has_a_status(client: Any) -> None:
    for url, options in ((URL, {"n": 0}), (URL, {"class": 1}), ("/v1/models/people/generate", {})):
        answer = client.post(url, json=options, headers=STREAM)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_listener_that_leaves_takes_its_work_with_it(serve: Callable[..., Any]) -> None:
    client = serve(max_steps=10**9, active_tasks=1, chunk_steps=1)
    body = {"type": "http.request", "body": orjson.dumps({"n_steps": 10**7}), "more_body": False}
    call(client, URL, body, accept="text/event-stream")
    # One task at a time: this one is answered only once the abandoned one has stopped.
    assert client.post(URL, json={"n": 1}).status_code == 200
    assert client.app.services.engine.depth() == {"score": 0, "task": 0}


@pytest.mark.parametrize("stop_early", [False, True])
def test_silence_is_filled_with_comments(stop_early: bool) -> None:
    closed = []

    async def slow() -> AsyncGenerator[bytes]:
        try:
            for i in range(3):
                await asyncio.sleep(0.05)
                yield b"%d" % i
        finally:
            closed.append(True)

    async def listen() -> list[bytes]:
        found = []
        async with contextlib.aclosing(events.kept_alive(slow(), 0.01)) as stream:
            async for event in stream:
                found.append(event)
                if stop_early and b"0" in found:
                    break
        return found

    found = asyncio.run(listen())
    assert closed == [True]
    assert [event for event in found if not event.startswith(b":")] == (
        [b"0"] if stop_early else [b"0", b"1", b"2"]
    )
    assert found[0] == b": ping\n\n"
