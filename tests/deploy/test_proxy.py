"""deploy/nginx.conf: in step with the server's limits, and, where nginx is installed, what it does with replicas that
only echo."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from deployed import DEPLOY

from service.errors import SLUGS
from service.settings import Settings

sys.path.insert(0, str(DEPLOY))
from replicas import NGINX, nginx_command, nginx_conf, wait_for

CONF = (DEPLOY / "nginx.conf").read_text()
needs_nginx = pytest.mark.skipif(NGINX is None, reason="no nginx")


def default(setting: str) -> float:
    return Settings.model_fields[setting].default


def value(directive: str) -> str:
    return re.findall(rf"^\s*{directive} ([^;]+);", CONF, re.M)[0]


def test_its_limits_are_the_server_s() -> None:
    assert value("client_max_body_size") == f"{int(default('max_body_bytes')) // 2**20}m"
    assert value("client_header_timeout") == f"{default('head_timeout_s'):.0f}s"
    assert value("client_body_timeout") == f"{default('body_timeout_s'):.0f}s"
    for directive in ("proxy_read_timeout", "proxy_send_timeout"):
        assert float(value(directive).rstrip("s")) > default("max_timeout_s")
    (idle,) = re.findall(r"keepalive \d+;.*?keepalive_timeout (\d+)s;", CONF, re.S)
    assert float(idle) < default("keep_alive_s"), "the replica would close a connection that is being used"


def test_its_errors_have_the_shape_of_the_api_s() -> None:
    problems = [json.loads(text.replace("\\'", "'")) for text in re.findall(r"return \d+ '(\{.*\})';", CONF)]
    assert [problem["status"] for problem in problems] == [404, 413, 502, 504]
    for problem in problems:
        slug = problem["type"].removeprefix("urn:ebm-service:problem:")
        assert slug in SLUGS or slug == "no-replica"


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked; /events sends a line at once and another when the test says so."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Replica)
        if self.path.endswith("/events"):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("X-Accel-Buffering", "no")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"first\n")
            self.wfile.write(b"second\n" if server.go_on.wait(10) else b"held back\n")
            return
        self.answer(0)

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Replica)
        left = size = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read1(min(left, 65536)))
            server.begun.set()
        if self.path == "/die":
            server.asked += 1
            if server.asked_in_all() == 1:  # as if killed in the middle of its work
                self.connection.shutdown(socket.SHUT_RDWR)
                return
        self.answer(size)

    def answer(self, size: int) -> None:
        server = self.server
        assert isinstance(server, Replica)
        found = {"name": server.name, "size": size, "headers": dict(self.headers)}
        content = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Replica(ThreadingHTTPServer):
    daemon_threads = True
    everyone: list[Replica]

    def __init__(self, name: str, begun: threading.Event, go_on: threading.Event):
        super().__init__(("127.0.0.1", 0), Echo)
        self.name, self.asked = name, 0
        self.begun, self.go_on = begun, go_on
        self.connections: list[socket.socket] = []
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        found = super().get_request()
        self.connections.append(found[0])
        return found

    def asked_in_all(self) -> int:
        return sum(replica.asked for replica in self.everyone)

    def stop(self) -> None:
        """As when the process is killed: connections that are kept end, too."""
        if self.thread.is_alive():
            self.shutdown()
            self.thread.join()
            self.server_close()
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    events = threading.Event(), threading.Event()
    found = [Replica("one", *events), Replica("two", *events)]
    for replica in found:
        replica.everyone = found
    yield found
    events[1].set()
    for replica in found:
        replica.stop()


@pytest.fixture
def proxy(replicas: list[Replica], tmp_path: Path) -> Iterator[httpx.Client]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ports = [replica.server_address[1] for replica in replicas]
    (tmp_path / "nginx.conf").write_text(nginx_conf(port, ports))
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((tmp_path / "log").open("wb"))
        process = subprocess.Popen(nginx_command(tmp_path), stderr=log, stdout=log)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/", process, lambda: (tmp_path / "log").read_text(), within_s=30)
        with httpx.Client(base_url=url, timeout=30) as client:
            yield client


@needs_nginx
def test_nginx_takes_it(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(nginx_conf(8080, [8001, 8002]))
    found = subprocess.run([*nginx_command(tmp_path), "-t"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "[warn]" not in found.stderr


@needs_nginx
def test_it_says_who_asks_and_shares_the_work(proxy: httpx.Client) -> None:
    answers = [
        proxy.get("/v1/models", headers={"X-Forwarded-For": "9.9.9.9", "X-Request-ID": f"mine-{i}"}).json()
        for i in range(6)
    ]
    assert {answer["name"] for answer in answers} == {"one", "two"}
    headers = {name.lower(): text for name, text in answers[3]["headers"].items()}
    assert headers["x-forwarded-for"] == "9.9.9.9, 127.0.0.1"  # the server believes the last
    assert headers["x-request-id"] == "mine-3"
    assert headers["host"] == proxy.base_url.netloc.decode()
    made = {name.lower(): text for name, text in proxy.get("/").json()["headers"].items()}
    assert re.fullmatch(r"[0-9a-f]{32}", made["x-request-id"])


@needs_nginx
def test_scoring_goes_on_when_a_replica_dies(proxy: httpx.Client, replicas: list[Replica]) -> None:
    answer = proxy.post("/die", content=b"x" * 100_000)  # while it computes: the other is asked
    assert answer.status_code == 200 and answer.json()["size"] == 100_000
    assert replicas[0].asked == replicas[1].asked == 1
    replicas[0].stop()
    answers = [proxy.post("/v1/models/m/score", content=b"row") for _ in range(10)]
    assert {answer.json()["name"] for answer in answers if answer.status_code == 200} == {"two"}
    assert all(answer.status_code == 200 for answer in answers)
    replicas[1].stop()
    none = proxy.get("/v1/models")
    assert none.status_code == 502 and none.headers["content-type"] == "application/problem+json"
    assert none.json()["type"].endswith("no-replica") and none.headers["retry-after"] == "5"


@needs_nginx
def test_a_job_is_not_made_twice(proxy: httpx.Client, replicas: list[Replica]) -> None:
    conf_of_jobs = CONF.partition("location = /v1/jobs {")[2].partition("}")[0]
    assert "non_idempotent" not in conf_of_jobs and "proxy_next_upstream error timeout;" in conf_of_jobs
    for replica in replicas:
        replica.asked = 0
    replicas[0].stop()  # nothing was sent to it: the other may be asked
    assert all(proxy.post("/v1/jobs", content=b"{}").status_code == 200 for _ in range(4))


@needs_nginx
def test_large_uploads_pass_as_they_come_and_large_bodies_do_not(
    proxy: httpx.Client, replicas: list[Replica]
) -> None:
    size, seen = 40 * 2**20, []

    def body() -> Iterator[bytes]:
        for i in range(40):
            if i == 20:  # half is sent: a replica has some of it
                seen.append(replicas[0].begun.wait(10))
            yield bytes(2**20)

    headers = {"Content-Length": str(size)}
    assert proxy.post("/v1/jobs", content=body(), headers=headers).json()["size"] == size
    assert seen == [True]
    refused = proxy.post("/v1/models/m/score", content=bytes(33 * 2**20))
    assert refused.status_code == 413 and refused.json()["type"].endswith("body-too-large")


@needs_nginx
@pytest.mark.parametrize("path", ["/v1/jobs/1/events", "/v1/models/m/events"])
def test_events_come_at_once(proxy: httpx.Client, replicas: list[Replica], path: str) -> None:
    with proxy.stream("GET", path) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "first"
        replicas[0].go_on.set()
        assert next(lines) == "second"


@needs_nginx
def test_metrics_stay_inside(proxy: httpx.Client) -> None:
    hidden = proxy.get("/metrics")
    assert hidden.status_code == 404 and hidden.json()["status"] == 404
