"""A long call stops when its client goes away, and makes room for the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson


def call(client: Any, path: str, *messages: dict[str, Any], accept: str = "*/*") -> int:
    """The status of a POST whose client sends these messages and then goes away."""
    left = iter(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return next(left, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"accept", accept.encode())],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
        "root_path": "",
    }
    client.portal.call(client.app, scope, receive, send)
    return sent[0]["status"]


def test_a_client_that_leaves_takes_its_work_with_it(serve: Callable[..., Any]) -> None:
    client = serve(max_steps=10**9, active_tasks=1, chunk_steps=1)
    body = {"type": "http.request", "body": orjson.dumps({"n_steps": 10**7}), "more_body": False}
    assert call(client, "/v1/models/blobs/generate", body) == 499
    # One task at a time: this one is answered only once the abandoned one has stopped.
    assert client.post("/v1/models/blobs/generate", json={"n": 1}).status_code == 200
    assert client.app.services.engine.depth() == {"score": 0, "task": 0}


def test_a_client_that_leaves_while_sending_is_no_failure(client: Any) -> None:
    part = {"type": "http.request", "body": b'{"instances": ', "more_body": True}
    assert call(client, "/v1/models/people/score", part) == 499
