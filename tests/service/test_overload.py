"""What cannot be served is refused while its head is read, in the shape of every other refusal."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from service import overload
from service.app import create_app
from service.protocol import limited
from service.settings import Settings

BODY = b'{"instances": [[41, 3100, 1.75]]}'
SCORE = "/v1/models/people/score"


class Held:
    """A server of one request at a time, whose scoring waits until it is let go."""

    def __init__(self, url: str, app: Any):
        self.url, self.app = url, app
        self.entered, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def hold(self) -> threading.Thread:
        self.gate.clear()
        self.entered.clear()
        self.answers: list[httpx.Response] = []
        ask = threading.Thread(target=lambda: self.answers.append(self.post()))
        ask.start()
        assert self.entered.wait(20)
        return ask

    def post(self, path: str = SCORE, **headers: str) -> httpx.Response:
        headers = {"Content-Type": "application/json", **headers}
        return httpx.post(self.url + path, content=BODY, headers=headers, timeout=20)


@pytest.fixture
def held(models_dir: Path) -> Iterator[Held]:
    import uvicorn

    app = create_app(Settings(models_dir=models_dir, log_level="error", max_requests=1, inline_s=0))
    connections = limited(20, 10_000)
    connections.refusal = app.overload.refusal
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(
            uvicorn.Config(app, http=connections, log_config=None, access_log=False, server_header=False)
        )
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        made = Held(f"http://127.0.0.1:{listening.getsockname()[1]}", app)
        httpx.get(made.url + "/readyz", timeout=20)
        loaded = next(one for one in app.services.registry.served() if one.name == "people").detector
        energies = loaded.energies

        def slow(values: Any) -> Any:
            made.entered.set()
            assert made.gate.wait(20)
            return energies(values)

        loaded.energies = slow
        yield made
        made.gate.set()
        server.should_exit = True
        thread.join(20)


def test_one_too_many_is_refused_and_the_others_are_served(held: Held) -> None:
    waiting = held.hold()
    refused = held.post(**{"X-Request-ID": "mine"})
    assert refused.status_code == 429 and refused.headers["Retry-After"] == "1"
    assert refused.headers["X-Request-ID"] == "mine"
    assert refused.headers["Content-Type"] == "application/problem+json"
    problem = refused.json()
    assert problem["type"].endswith(":queue-full") and problem["status"] == 429
    assert problem["instance"] == SCORE and "1 requests are in work" in problem["detail"]
    # Of the Open Inference Protocol, its own shape.
    refused = held.post("/v2/models/people/infer")
    assert refused.status_code == 429 and list(refused.json()) == ["error"]
    # Whoever watches is answered.
    assert httpx.get(held.url + "/healthz", timeout=20).status_code == 200
    counted = httpx.get(held.url + "/metrics", timeout=20).text
    assert 'ebm_refusals_total{reason="queue-full",status="429"} 2.0' in counted
    held.gate.set()
    waiting.join(20)
    assert held.answers[0].status_code == 200
    assert held.post().status_code == 200


def test_a_full_queue_refuses_scores_only(held: Held) -> None:
    held.app.services.engine.queue_size, held.app.overload.max_requests = 1, 100
    waiting = held.hold()
    assert held.post().json()["detail"] == "the score queue is full (1 requests)"
    assert httpx.get(held.url + "/v1/models", timeout=20).status_code == 200
    held.gate.set()
    waiting.join(20)


def test_the_connection_of_a_refusal_goes_on(held: Held) -> None:
    """Refused with its body half sent; then answered; both on one connection."""
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    request = head % (SCORE.encode(), len(BODY)) + BODY
    waiting = held.hold()
    with socket.create_connection(("127.0.0.1", int(held.url.rsplit(":", 1)[1])), timeout=20) as connection:
        connection.sendall(request[:-5])
        assert b"HTTP/1.1 429 Too Many Requests\r\n" in _answer(connection)
        held.gate.set()
        waiting.join(20)
        connection.sendall(request[-5:] + request)
        answered = _answer(connection)
    assert answered.startswith(b"HTTP/1.1 200") and orjson.loads(answered.split(b"\r\n\r\n")[1])["rank"] == [
        1
    ]


def test_those_who_ask_again_at_once_wait_their_turn(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more is read for a moment on a connection whose refusal was one of too many; then it goes on."""
    monkeypatch.setattr(overload, "PAUSE_S", 1.5)
    waiting = held.hold()
    with httpx.Client(base_url=held.url, timeout=20) as one:
        assert one.post(SCORE, content=BODY).status_code == 429
        assert (
            one.post(SCORE, content=BODY).status_code == 429
        )  # at once: the timeout of the next shows the pause
        held.app.overload._at_once = -1e9
        assert one.post(SCORE, content=BODY).status_code == 429
        with pytest.raises(httpx.ReadTimeout):
            one.post(SCORE, content=BODY, timeout=0.2)
    with socket.create_connection(("127.0.0.1", int(held.url.rsplit(":", 1)[1])), timeout=20) as connection:
        request = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" % SCORE.encode()
        for _ in range(2):
            connection.sendall(request)
            assert _answer(connection).startswith(b"HTTP/1.1 429")
    held.gate.set()
    waiting.join(20)


def _answer(connection: socket.socket) -> bytes:
    found = b""
    while b"\r\n\r\n" not in found or len(found.split(b"\r\n\r\n", 1)[1]) < _length(found):
        part = connection.recv(65536)
        assert part, f"closed after {found!r}"
        found += part
    return found


def _length(answer: bytes) -> int:
    lines = answer.lower().split(b"\r\n")
    return next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
