"""The load generator counts what it sent and got; figures and the table say what was measured."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import _service_load
import _service_single
import numpy as np
import pytest
from _service_job import Job, Load
from _service_load import run
from _service_measure import failures, figures, ratio
from _service_model import as_instances, as_npy, as_tensor, http, prepare, publish_copy, single_rows
from _service_report import Parts, markdown, print_table
from _service_servers import Server, Spec
from rich.console import Console

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\ncontent-length: 4\r\n\r\nbusy"
DELAY_S = 0.005


class TinyServer:
    """Answers the i-th request by `answer(i)`; b"" closes the connection, None leaves the request without answer."""

    def __init__(self, answer):
        self.answer, self.bodies = answer, []
        self.loop = asyncio.new_event_loop()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                answer = self.answer(len(self.bodies) - 1)
                await asyncio.sleep(DELAY_S)
                if answer == b"":
                    return
                if answer is not None:  # in two pieces: an answer need not come at once
                    writer.write(answer[:30])
                    await writer.drain()
                    await asyncio.sleep(0)
                    writer.write(answer[30:])
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def start(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def tiny(answer=lambda i: OK) -> Iterator[TinyServer]:
    server = TinyServer(answer)
    thread = threading.Thread(target=server.loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), server.loop).result(10)
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), server.loop).result(10)
        server.loop.call_soon_threadsafe(server.loop.stop)
        thread.join()
        server.loop.close()


def job(server: TinyServer, **options) -> Job:
    options = {"seconds": 30.0, "warmup_s": 0.0, "max_requests": 60} | options
    return Job(server.port, [http("/a", b"first"), http("/a", b"second")], **options)


def test_a_closed_loop_counts_every_answer_by_status() -> None:
    with tiny(lambda i: BUSY if i % 3 == 0 else OK) as server:
        load = run(job(server, connections=4))
    assert load.sent == len(server.bodies) == 60 and set(server.bodies) == {b"first", b"second"}
    assert (load.status == 200).sum() == 40 and (load.status == 429).sum() == 20
    assert load.latency_s.min() >= DELAY_S and load.latency_s.max() < load.seconds
    assert (load.unanswered, load.not_sent, load.errors) == (0, 0, {})


def test_an_open_loop_says_what_it_could_not_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_service_load, "GRACE_S", 0.05)
    with tiny(lambda i: None) as server:
        load = run(job(server, connections=2, rate=500.0, seconds=0.5))
    assert load.sent == 2 and load.unanswered == 2 and len(load.status) == 0
    assert load.not_sent > 50
    with tiny() as server:
        load = run(job(server, connections=50, rate=500.0))
    assert load.sent == 60 and (load.status == 200).all()


def test_refused_connections_wait_as_told_only_where_asked() -> None:
    with tiny(lambda i: BUSY) as server:
        patient = run(job(server, connections=3, seconds=0.4, honour_retry_after=True))
        hasty = run(job(server, connections=3))
    assert patient.sent == 3 and hasty.sent == 60


def test_a_lost_connection_is_an_error_and_opened_again() -> None:
    with tiny(lambda i: b"" if i == 5 else OK) as server:
        load = run(job(server, connections=1))
    assert load.errors == {"closed before the answer": 1}
    assert load.sent == 60 and (load.status == 200).sum() == 59 and load.unanswered == 0


def test_the_warm_up_is_not_counted() -> None:
    with tiny() as server:
        load = run(job(server, connections=1, seconds=0.2, warmup_s=0.3))
    assert 0 < len(load.status) < len(server.bodies)


def test_jobs_and_loads_are_read_back(tmp_path: Path) -> None:
    task = Job(80, [b"a", b"", b"ccc"], connections=7, rate=2.5)
    assert Job.read(task.save(tmp_path / "job.json")) == task
    load = _load([200, 429], [0.1, 0.2])
    load.save(tmp_path / "load.npz")
    again = Load.read(tmp_path / "load.npz")
    assert again.errors == load.errors and np.array_equal(again.latency_s, load.latency_s)


def _load(status: list[int], latency_s: list[float]) -> Load:
    at = np.zeros(len(status))
    return Load(2.0, np.array(status), at, np.array(latency_s), len(status), 0, 1, {"connect: x": 2}, 0.1)


def test_figures_keep_refusals_and_failures_apart() -> None:
    one = figures(_load([200] * 100 + [429] * 10 + [500, 404], [0.001 * i for i in range(1, 113)]))
    assert (one["good_per_s"], one["refused_per_s"], one["answers_per_s"]) == (50, 5, 56)
    assert one["good_p50_ms"] == 50.5 and one["refused_p50_ms"] == 105.5 and one["good_max_ms"] == 100
    assert failures(one) == 1 + 1 + 2 + 1  # 5xx, 404, connections, unanswered


def test_a_ratio_is_taken_round_by_round() -> None:
    a, b = [{"good_per_s": x} for x in (10.0, 40.0, 30.0)], [{"good_per_s": x} for x in (5.0, 10.0, 10.0)]
    assert ratio(a, b) == {"median": 3.0, "low": 2.0, "high": 4.0}


def test_rows_are_met_where_the_target_is_reached() -> None:
    def at(rate: float) -> list[dict[str, float]]:
        return [figures(_load([200] * int(2 * rate), [0.001] * int(2 * rate))) | {"unanswered": 0}]

    rates = {"service": 800, "echo": 1000, "litserve": 200, "mlserver": 80}
    rounds = {f"{key} @{n}": at(rate) for key, rate in rates.items() for n in (1, 32)}
    rows = _service_single._rows(rounds, {"mlserver": {"best": {"32": {"parallel_workers": 0}}}})
    met = {one["title"]: one["met"] for one in rows if "32 connections" in one["title"]}
    assert list(met.values()) == [
        None,
        True,
        False,
        True,
    ]  # .8 of the echo, 4 times LitServe, 10 times MLServer
    assert all(one["met"] is None for one in rows if "1 connections" in one["title"])


def test_parts_are_kept_and_rendered(tmp_path: Path) -> None:
    run_of = {"command": "python x", "date": "2026-01-02", "versions": {"torch": "2"}, "seeds": [0]}
    run_of["machine"] = {"cpu": "c", "cores": 2}
    rows = [
        {"title": "one | two", "target": "at least 3", "reached": "2.9", "met": False},
        {"title": "three", "target": "", "reached": "4", "met": None},
    ]
    Parts(tmp_path / "s.json").add("a", run_of, {"rows": rows})
    swept = {"peer": {"best": {"1": {"w": 2}}, "tried": [{"settings": {"w": 2}}, {"settings": {"w": 1}}]}}
    parts = Parts(tmp_path / "s.json")
    parts.add("b", run_of, {"rows": [rows[0] | {"met": True}], "swept": swept, "agreement": {"peer": 1e-6}})
    text = markdown(Parts(tmp_path / "s.json"), ["a", "b"], "What this is.")
    assert "| one / two | at least 3 | 2.9 | NOT MET |" in text and "| three |  | 4 |  |" in text
    assert 'peer, best of 2 settings: at 1 connections {"w": 2}' in text and "1.0e-06" in text
    file = io.StringIO()
    print_table(parts.rows(["b", "a"]), Console(file=file, width=120))
    assert file.getvalue().count("NOT MET") == 1 and "at least 3" in file.getvalue()


def test_the_peers_do_the_same_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ebm.artifact import load

    monkeypatch.syspath_prepend(str(Path(_service_load.__file__).parent / "peers"))
    from forward import Forward  # type: ignore[import-not-found]

    place = prepare(tmp_path, n_steps=3)
    rows = np.concatenate(single_rows(20))
    expected, found = load(place.small).score(rows), Forward(place.small)(rows)
    np.testing.assert_allclose(found["energy"], expected.energy, rtol=1e-5)
    np.testing.assert_array_equal(found["p_value"], expected.p_value)
    np.testing.assert_array_equal(found["is_anomaly"], expected.is_anomaly)
    publish_copy(place, "2")
    assert load(place.small.parent / "2").version == "2"


def test_one_row_is_the_same_in_every_body() -> None:
    (row,) = single_rows(1)
    instances = json.loads(as_instances(row))["instances"]
    tensor = json.loads(as_tensor(row))["inputs"][0]
    assert tensor["shape"] == [1, 64] and instances == [tensor["data"]]
    np.testing.assert_allclose(np.load(io.BytesIO(as_npy(row)), allow_pickle=False), instances, atol=1e-4)


def test_a_server_is_ready_paused_and_ended(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1")
    server = Server(Spec("files", command, "/", cwd=tmp_path), tmp_path)
    try:
        assert server.wait_ready(30) > 0 and server.rss_mib() > 1 and server.cpu_s() > 0
        server.pause()
    finally:
        server.stop()
    assert server.process.poll() is not None and server.get("/")[0] == 0
    broken = Server(
        Spec("broken", (sys.executable, "-c", "raise SystemExit('no such thing')"), "/"), tmp_path
    )
    with pytest.raises(RuntimeError, match="no such thing"):
        broken.wait_ready(30)
    broken.stop()
