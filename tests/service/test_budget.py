"""All bodies together have a limit, whatever each of them may hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

ROW = {"instances": [[41.0, 3100.0, 1.75]] * 2}
PATH = "/v1/models/people/score"


def scope() -> dict[str, Any]:
    return {
        "type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
        "headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http",
        "server": ("test", 80), "client": ("test", 1), "root_path": "",
    }  # fmt: skip


def test_bodies_of_all_requests_have_a_limit_together(serve: Callable[..., Any]) -> None:
    client = serve(max_held_bytes=100_000)
    budget = client.app.services.budget
    big = b" " * 90_000 + orjson.dumps(ROW)

    async def two() -> tuple[list[Any], list[Any]]:
        """A large request whose last byte is missing, and meanwhile a second one."""
        answers: tuple[list[Any], list[Any]] = ([], [])
        rest, first_part_in = asyncio.Event(), asyncio.Event()

        async def slowly() -> Any:
            if not first_part_in.is_set():
                first_part_in.set()
                return {"type": "http.request", "body": big[:-1], "more_body": True}
            await rest.wait()
            return {"type": "http.request", "body": big[-1:], "more_body": False}

        async def at_once() -> Any:
            return {"type": "http.request", "body": big, "more_body": False}

        def into(found: list[Any]) -> Callable[[Any], Any]:
            async def send(message: Any) -> None:
                found.append(message)

            return send

        first = asyncio.create_task(client.app(scope(), slowly, into(answers[0])))
        await first_part_in.wait()
        await asyncio.sleep(0)
        assert budget.held == len(big) - 1
        await client.app(scope(), at_once, into(answers[1]))
        rest.set()
        await first
        return answers

    first, second = client.portal.call(two)
    assert first[0]["status"] == 200
    assert second[0]["status"] == 429 and b"in work already" in second[1]["body"]
    assert (b"retry-after", b"1") in [(k.lower(), v) for k, v in second[0]["headers"]]
    assert budget.held == 0
    assert client.post(PATH, content=big, headers={"Content-Type": "application/json"}).status_code == 200


def test_what_a_failed_request_held_is_given_back(client: Any) -> None:
    bad = b" " * 50_000 + b'{"instances": [[1]]}'
    for _ in range(3):
        assert client.post(PATH, content=bad, headers={"Content-Type": "application/json"}).status_code == 422
    assert client.app.services.budget.held == 0
