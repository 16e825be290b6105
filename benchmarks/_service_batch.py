"""Blocks of 256 rows: npy beside the same forward in process; JSON beside FastAPI with pydantic lists."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from _service_job import Job
from _service_measure import Pace, failures, measure, median, ratio, row, spread
from _service_model import BLOCK_ROWS, JSON, NPY, Workplace, as_instances, as_npy, blocks, http
from _service_servers import Server, all_running, awake
from _service_specs import pydantic_lists, service

CONNECTIONS = (1, 4, 16)
SCORE = "/v1/models/small/score"
JOINED = 16  # blocks of 256 rows that make a batch of 4096, the most that the service joins
CORES = len(os.sched_getaffinity(0))
Rounds = dict[str, list[dict[str, float]]]


def run(
    place: Workplace, logs: Path, pace: Pace, threads: int, log_level: str, peers: bool
) -> dict[str, Any]:
    """Rows a second of every way in, at the number of connections that suits each best."""
    npy, text = [as_npy(x) for x in blocks()], [as_instances(x) for x in blocks()]
    ways = {
        "npy": ("service", [http(SCORE, body, NPY, NPY) for body in npy]),
        "npy, JSON answer": ("service", [http(SCORE, body, NPY, JSON) for body in npy]),
        "json": ("service", [http(SCORE, body) for body in text]),
    }
    specs = [service(place, threads, log_level)]
    if peers:
        ways["pydantic"] = ("pydantic", [http("/score", body) for body in text])
        specs.append(pydantic_lists(place, threads))
    rounds: Rounds = {}
    with all_running(specs, logs) as servers:
        for turn in range(pace.rounds):
            for way, (name, requests) in ways.items():
                for n in CONNECTIONS:
                    rounds.setdefault(f"{way} @{n}", []).append(_block(servers[name], requests, n, pace))
            for count in sorted({1, CORES}):
                for joined in (1, JOINED):
                    key = f"in process x{joined}, threads {count}"
                    rate = in_process(place, pace.seconds, count, joined)
                    rounds.setdefault(key, []).append({"rows_per_s": rate})
            print(f"  256x64: round {turn + 1} of {pace.rounds}", flush=True)
    return {"rounds": rounds, "rows": _rows(rounds)}


def in_process(place: Workplace, seconds: float, threads: int, joined: int) -> float:
    """Rows a second of `detector.score` in a fresh process with so many threads, so many blocks at once."""
    command = [sys.executable, str(Path(__file__).with_name("_service_inprocess.py")), str(place.small)]
    done = subprocess.run(
        [*command, str(seconds), str(joined)],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 120,
    )
    if done.returncode:
        raise RuntimeError(f"in process: {done.stderr.strip().splitlines()[-1:]}")
    return float(done.stdout)


def _block(server: Server, requests: list[bytes], connections: int, pace: Pace) -> dict[str, float]:
    with awake(server):
        job = Job(server.port, requests, connections, pace.seconds, pace.warmup_s)
        one = measure(server, job)[1]
    return one | {"rows_per_s": one["good_per_s"] * BLOCK_ROWS}


def _best(rounds: Rounds, way: str) -> tuple[str, list[dict[str, float]]]:
    found = {key: value for key, value in rounds.items() if key.startswith(way)}
    key = max(found, key=lambda key: median(found[key], "rows_per_s"))
    return key, found[key]


def _rows(rounds: Rounds) -> list[dict[str, Any]]:
    npy_key, npy = _best(rounds, "npy @")
    inside_key, inside = _best(rounds, "in process x1,")
    joined_key, joined = _best(rounds, f"in process x{JOINED},")
    against = ratio(npy, inside, "rows_per_s")
    out = [
        row("", _said(inside), None, f"256x64: in process, block by block, {_threads(inside_key)}"),
        row("", _said(joined), None, f"256x64: in process, {JOINED} blocks at once, {_threads(joined_key)}"),
        row(
            "at least 0.8 of in process, block by block",
            f"{_said(npy)}; {spread(against)} of in process, block by block; "
            f"{spread(ratio(npy, joined, 'rows_per_s'))} of {JOINED} at once",
            against["median"] >= 0.8,
            f"256x64: this service, npy in and out, {_connections(npy_key)}",
        ),
    ]
    for way, title in (("npy, JSON answer @", "npy in, JSON out"), ("json @", "JSON")):
        key, found = _best(rounds, way)
        out.append(row("", _said(found), None, f"256x64: this service, {title}, {_connections(key)}"))
    if any(key.startswith("pydantic @") for key in rounds):
        key, lists = _best(rounds, "pydantic @")
        text = _best(rounds, "json @")[1]
        times, json_times = ratio(npy, lists, "rows_per_s"), ratio(text, lists, "rows_per_s")
        said = f"{_said(lists)}; npy is {spread(times)} times it, this service's JSON {spread(json_times)}"
        title = f"256x64: FastAPI, JSON through pydantic lists, {_connections(key)}"
        out.append(row("npy at least 3 times it", said, times["median"] >= 3, title))
    failed = sum(failures(one) for key, each in rounds.items() if "@" in key for one in each)
    if failed:
        out.append(row("0 failed", f"{failed} failed", False, "256x64: requests"))
    return out


def _threads(key: str) -> str:
    return f"{key.rpartition(' ')[2]} thread(s), the better number"


def _connections(key: str) -> str:
    return f"{key.rpartition('@')[2]} connection(s)"


def _said(rounds: list[dict[str, float]]) -> str:
    said = f"{median(rounds, 'rows_per_s'):,.0f} rows/s"
    return said + (f", p99 {median(rounds, 'good_p99_ms'):.1f} ms" if "good_p99_ms" in rounds[0] else "")
