"""Requests that come too slowly or are all head; headers that every answer has; CORS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service.app import create_app
from service.errors import Problem
from service.protocol import limited
from service.settings import Settings
from service.telemetry.requests import in_time

HEAD = b"POST /v1/models/people/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = b'{"instances": [[41, 3100, 1.75]]}'


@pytest.fixture(scope="module")
def connect(models_dir: Path) -> Iterator[Callable[[], socket.socket]]:
    """Connections to a server with short patience and a limit of 2000 bytes for heads."""
    settings = Settings(models_dir=models_dir, log_level="error", body_timeout_s=0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as stack:
        config = uvicorn.Config(
            create_app(settings), http=limited(0.3, 2000), log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()

        def new() -> socket.socket:
            made = stack.enter_context(socket.create_connection(listening.getsockname(), timeout=60))
            return made

        yield new
        server.should_exit = True
        thread.join(60)


def answer(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65536):
            found += more
    return found


def one_answer(connection: socket.socket) -> bytes:
    found = b""
    while b"\r\n\r\n" not in found or b'"p_value"' not in found:
        found += connection.recv(65536)
    return found


def test_a_body_that_stops_is_408_and_the_end_of_the_connection(connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    connection.sendall(HEAD + b"Content-Length: 99\r\n\r\n" + BODY[:9])
    found = answer(connection)
    assert (
        found.startswith(b"HTTP/1.1 408 ")
        and b"body-timeout" in found
        and b"connection: close" in found.lower()
    )


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", HEAD])
def test_a_head_that_stops_is_408(connect: Callable[[], socket.socket], sent: bytes) -> None:
    connection = connect()
    connection.sendall(sent)
    assert answer(connection).startswith(b"HTTP/1.1 408 ")


def test_a_second_head_that_stops_is_408_too(connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    length = f"Content-Length: {len(BODY)}\r\n\r\n".encode()
    connection.sendall(HEAD + length + BODY)
    assert one_answer(connection).startswith(b"HTTP/1.1 200 ")
    connection.sendall(HEAD)
    assert answer(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "start",
    [b"GET /healthz?", b"GET /healthz HTTP/1.1\r\nX: ", HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: "],
)
def test_a_head_or_trailers_without_end_are_cut_off(
    connect: Callable[[], socket.socket], start: bytes
) -> None:
    connection = connect()
    sent = 0
    with contextlib.suppress(ConnectionError):
        connection.sendall(start)
        while sent < 50_000_000:
            connection.sendall(b"a" * 1000)
            sent += 1000
    assert sent < 50_000_000, "the server listened on and on"


def test_a_long_body_in_small_chunks_is_no_head(connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    body = BODY.replace(b"[[", b"[[" + b" " * 9000)
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for byte in range(0, len(body), 4):
        piece = body[byte : byte + 4]
        connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    connection.sendall(b"0\r\n\r\n")
    assert one_answer(connection).startswith(b"HTTP/1.1 200 ")


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def test_a_body_in_time_needs_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"x", "more_body": False}

    def no_timer(*_: Any) -> Any:
        raise AssertionError("a timer was started")

    monkeypatch.setattr(asyncio, "timeout_at", no_timer)
    assert run(in_time(receive, 0.01)())["body"] == b"x"


def test_each_piece_counts_against_one_time() -> None:
    async def receive() -> Any:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def read() -> int:
        receiving, pieces = in_time(receive, 0.3), 0
        with pytest.raises(Problem, match="did not arrive"):
            while True:
                await receiving()
                pieces += 1
        return pieces

    assert run(read()) >= 1


def test_after_the_body_anyone_may_wait_for_the_end_of_the_connection() -> None:
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    async def read() -> Any:
        receiving = in_time(receive, 0.01)
        await receiving()
        return await receiving()

    assert run(read()) == {"type": "http.disconnect"}


def test_one_who_waits_for_a_body_can_be_cancelled() -> None:
    ended = []

    async def receive() -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(True)
            raise

    async def read() -> None:
        task = asyncio.ensure_future(in_time(receive, 60)())  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(read())
    assert ended == [True]


def test_every_answer_is_taken_for_what_it_says(client: Any) -> None:
    for path in ("/", "/console/console.js", "/v1/models", "/nowhere", "/metrics"):
        assert client.get(path).headers.get_list("x-content-type-options") == ["nosniff"], path
    page = client.get("/").headers
    assert page["x-frame-options"] == "DENY" and page["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in page["content-security-policy"]


def test_cors_is_off_and_on_for_the_origins_that_are_named(client: Any, serve: Callable[..., Any]) -> None:
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "x-api-key, content-type"
    path = "/v1/models/people/score"
    assert "access-control-allow-origin" not in client.request("OPTIONS", path, headers=asked).headers
    assert "access-control-allow-origin" not in client.get("/v1/models", headers=asked).headers
    own = serve(cors_origins=("https://a.example",))
    allowed = own.request("OPTIONS", path, headers=asked)
    assert (
        allowed.status_code == 200 and allowed.headers["access-control-allow-origin"] == "https://a.example"
    )
    assert "x-api-key" in allowed.headers["access-control-allow-headers"].lower()
    assert own.get("/v1/models", headers=asked).headers["access-control-allow-origin"] == "https://a.example"
    other = own.get("/v1/models", headers={"Origin": "https://b.example"})
    assert "access-control-allow-origin" not in other.headers
