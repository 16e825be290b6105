"""Servers under test: one subprocess session each, on 127.0.0.1, started, paused and ended by their own id."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spec:
    """How a server is started: `{port}` in the command and the environment is replaced by its free port."""

    name: str
    command: tuple[str, ...]
    ready: str
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    settings: str = ""


class Server:
    """A running server. Only its own session is signalled."""

    def __init__(self, spec: Spec, logs: Path):
        self.spec, self.port = spec, free_port()
        fill = {key: value.replace("{port}", str(self.port)) for key, value in spec.env.items()}
        self.log = logs / f"{spec.name}-{self.port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [part.replace("{port}", str(self.port)) for part in spec.command],
                env=_clean_environment() | fill,
                cwd=spec.cwd,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.started_at = time.perf_counter()

    def wait_ready(self, timeout_s: float = 90.0, every_s: float = 0.1) -> float:
        """Seconds from exec until the ready path answers 200."""
        while (passed := time.perf_counter() - self.started_at) < timeout_s:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.spec.name} ended at start: {self.tail()}")
            if self.get(self.spec.ready)[0] == 200:
                return time.perf_counter() - self.started_at
            time.sleep(every_s)
        raise RuntimeError(f"{self.spec.name} was not ready in {passed:.0f} s: {self.tail()}")

    def get(self, path: str) -> tuple[int, bytes]:
        return self.request("GET", path)

    def request(
        self, method: str, path: str, body: bytes | None = None, timeout_s: float = 30.0
    ) -> tuple[int, bytes]:
        """Status and body; status 0 where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def pause(self) -> None:
        """A server that waits must take no CPU time from the one that is measured (some poll)."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.resume()
            self.process.terminate()
            try:
                self.process.wait(12)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # workers that outlived their parent
        except ProcessLookupError:
            pass
        self.process.wait(10)

    def tail(self, lines: int = 4) -> str:
        return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-lines:])

    def rss_mib(self) -> float:
        """Resident memory of all its processes."""
        return sum(rss for rss, _ in self._processes()) / 2**20

    def cpu_s(self) -> float:
        """CPU seconds of all its living processes."""
        return sum(cpu for _, cpu in self._processes())

    def _processes(self) -> Iterator[tuple[int, float]]:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except (OSError, ValueError):
                    continue
                if int(fields[3]) == self.process.pid:  # its session
                    yield int(fields[21]) * PAGE, (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def running(spec: Spec, logs: Path, timeout_s: float = 90.0) -> Iterator[Server]:
    """The server, ready."""
    server = Server(spec, logs)
    try:
        server.wait_ready(timeout_s)
        yield server
    finally:
        server.stop()


@contextmanager
def all_running(specs: list[Spec], logs: Path) -> Iterator[dict[str, Server]]:
    """Several servers, ready and paused; `awake` lets one of them run."""
    servers: dict[str, Server] = {}
    try:
        for spec in specs:
            servers[spec.name] = server = Server(spec, logs)
            server.wait_ready()
            server.pause()
        yield servers
    finally:
        for server in servers.values():
            server.stop()


@contextmanager
def awake(server: Server) -> Iterator[Server]:
    server.resume()
    try:
        yield server
    finally:
        server.pause()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _clean_environment() -> dict[str, str]:
    """No settings of the caller's shell reach a server."""
    mine = ("EBM_", "MLSERVER_", "PEER_", "LIT_", "OMP_", "MKL_", "PROMETHEUS_")
    return {key: value for key, value in os.environ.items() if not key.startswith(mine)}
