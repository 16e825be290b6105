"""`ebm serve`: real processes on free ports, stopped by a signal, and what is said where it cannot start."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ebm.cli import serve
from ebm.errors import BadConfig, EBMError
from service import server
from service.settings import Settings

EBM = [sys.executable, "-c", "from ebm.cli import main; main()"]
ROW = json.dumps({"instances": [[0.1, 0.2, 0.3]]}).encode()


def until(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while not (found := true()):
        assert time.monotonic() < end, "waited for a minute"
        time.sleep(0.02)
    return found


class Server:
    """A server in processes of its own."""

    def __init__(self, process: subprocess.Popen[str], log: Path):
        self.process, self.log = process, log
        said = until(
            lambda: re.search(r" on http://127\.0\.0\.1:(\d+)", log.read_text()) or process.poll() is not None
        )
        assert said is not True, log.read_text()
        self.port = int(said[1])

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        """One request on a connection of its own, so that any worker may take it."""
        connection = self.connect()
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True


@contextmanager
def serving(folder: Path, *options: object, **variables: str) -> Iterator[Server]:
    log = folder / "log.txt"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EBM_")}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*EBM, "serve", "--port", "0", *map(str, options)],
            stderr=stream,
            stdout=stream,
            text=True,
            env={**environment, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder), **variables},
        )
        try:
            yield Server(process, log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_counts_together_drains_and_leaves_nothing(
    published: Path, tmp_path: Path, workers: int
) -> None:
    with serving(tmp_path, "--models", published, "--workers", workers) as running:
        assert running.ask("GET", "/readyz")[0] == 200
        made = list(tmp_path.glob("ebm-*"))
        assert len(made) == (workers > 1)

        n = 0

        def all_have_answered() -> bool:
            nonlocal n
            status, said = running.ask("POST", "/v1/models/plain/score", ROW)
            assert status == 200, (said, running.log.read_text())
            n += 1
            return workers == 1 or _workers_that_answered(made[0]) == workers

        until(all_have_answered)
        counted = (
            r'ebm_http_requests_total\{method="POST",route="/v1/models/\{name\}/score",status="200"\} (\S+)'
        )
        # Workers publish what they counted every second.
        until(lambda: float(re.search(counted, running.ask("GET", "/metrics")[1])[1]) == n)  # type: ignore[index]
        until(lambda: _scored_rows(running) == n)

        # A request whose body is still on its way when the signal comes is answered; new ones are turned away.
        late = running.connect()
        late.putrequest("POST", "/v1/models/plain/score")
        late.putheader("Content-Type", "application/json")
        late.putheader("Content-Length", str(len(ROW)))
        late.putheader("Expect", "100-continue")
        late.endheaders()
        assert b"100 Continue" in late.sock.recv(100), "a worker waits for the body"
        late.send(ROW[:5])
        running.process.send_signal(signal.SIGTERM)
        until(lambda: not running.listens())
        late.send(ROW[5:])
        answer = late.getresponse()
        body = answer.read()
        assert answer.status == 200, (body, running.log.read_text())
        assert len(json.loads(body)["p_value"]) == 1
        late.close()
        assert running.process.wait(60) == 0
    assert list(tmp_path.glob("ebm-*")) == []
    lines = running.log.read_text().splitlines()
    assert "Traceback" not in "".join(lines)
    events = [json.loads(line) for line in lines[1:]]
    assert sum(line["event"] == "request" and line["status"] == 200 for line in events) >= n
    assert [line["event"] for line in events].count("stopped") == workers


def _scored_rows(running: Server) -> float:
    found = re.search(r'ebm_scored_rows_total\{model="plain"\} (\S+)', running.ask("GET", "/metrics")[1])
    return float(found[1]) if found else 0


def _workers_that_answered(runtime_dir: Path) -> int:
    files = (runtime_dir / "metrics").glob("counter_*.db")
    return sum(b"/v1/models/{name}/score" in file.read_bytes() for file in files)


def test_a_taken_port_is_one_line(published: Path, ebm: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = ebm("serve", "--port", port, "--models", published).error(1)
    assert said == f"127.0.0.1:{port}: address already in use"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that the server was run with; none is."""
    found: list[Settings] = []
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    monkeypatch.setattr(server, "run", lambda settings, _: found.append(settings) or True)
    return found


def test_options_file_and_variables_reach_the_server(
    ebm: Any, published: Path, told: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.yaml").write_text("port: 1\nmax_rows: 7\nqueue_size: 7\n")
    monkeypatch.setenv("EBM_QUEUE_SIZE", "9")
    ebm(
        "serve",
        "--config",
        tmp_path / "s.yaml",
        "--port",
        1234,
        "--workers",
        2,
        "--log-level",
        "error",
        ok=True,
    )
    (found,) = told
    assert (found.port, found.max_rows, found.queue_size, found.workers) == (1234, 7, 9, 2)
    assert found.models_dir == published and found.log_level == "error"


@pytest.mark.parametrize(
    ("options", "set_before", "threads"),
    [
        ((), "77", "77"),
        (("--threads", 3), "77", "3"),
        ((), None, "4"),
        (("--workers", 2), None, "2"),
        (("--workers", 99), None, "1"),
    ],
)
def test_the_threads_of_each_worker(
    ebm: Any,
    told: list[Settings],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    set_before: str | None,
    threads: str,
) -> None:
    monkeypatch.setattr(serve, "_cores", lambda: 4)
    if set_before is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    ebm("serve", *options, ok=True)
    assert os.environ["OMP_NUM_THREADS"] == threads and len(told) == 1


def test_what_cannot_start_is_one_line(
    ebm: Any, tmp_path: Path, told: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no such folder" in ebm("serve", "--models", tmp_path / "none").error()
    assert ebm("serve", "--port", 70000).code == 2
    monkeypatch.setenv("EBM_MAX_ROWS", "many")
    assert ebm("serve").error().startswith("EBM_MAX_ROWS: ")
    assert told == []


def test_a_misspelt_variable_is_told(ebm: Any, told: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBM_API_KEY_FILE", "keys.yaml")
    assert "EBM_API_KEY_FILE is no setting" in ebm("serve", ok=True).err and len(told) == 1


def test_a_server_that_did_not_come_up_is_1(ebm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "run", lambda *_: False)
    assert ebm("serve").code == 1


def test_help_and_page_list_all_settings(ebm: Any) -> None:
    out = ebm("serve", "--help", ok=True).out
    page = ebm("serve", "--settings-markdown", ok=True).out
    for name in Settings.model_fields:
        assert f"EBM_{name.upper()} [" in out and f"`EBM_{name.upper()}`" in page


def test_what_all_workers_would_fail_on_is_said_before_any_starts(published: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot be read"):
        server.run(Settings(models_dir=published, workers=2, port=0, api_keys_file=tmp_path / "none.yaml"))


def test_a_worker_that_cannot_start_stops_the_supervisor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Settings) -> None:
        raise EBMError("the reason")

    monkeypatch.setattr("service.app.create_app", fail)
    with pytest.raises(SystemExit) as caught:
        server.Config(Settings(workers=2)).load()
    assert caught.value.code == 3 and capsys.readouterr().err == "error: the reason\n"
    with pytest.raises(EBMError, match="the reason"):
        server.Config(Settings()).load()


@pytest.mark.parametrize("given", [True, False])
def test_the_runtime_folder_of_workers(tmp_path: Path, given: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = tmp_path / "own"
    (own / "metrics").mkdir(parents=True)
    (own / "metrics" / "counter_1.db").touch()
    with server._runtime_dir(Settings(workers=2, runtime_dir=own if given else None)) as settings:
        folder = settings.runtime_dir
        assert folder is not None and (folder == own) is given
        assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(folder / "metrics")
        assert list((folder / "metrics").iterdir()) == [], "counts of an earlier run"
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ and folder.exists() is given
