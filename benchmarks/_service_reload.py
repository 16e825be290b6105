"""New versions appear while 16 connections score: none of their requests may fail."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from _service_job import Job
from _service_measure import Pace, Running, failures, figures, row
from _service_model import Workplace, as_instances, http, publish_copy, single_rows
from _service_servers import Server, running
from _service_specs import service

CONNECTIONS = 16
SCORE = "/v1/models/small/score"
SEEN_WITHIN_S = 20.0


def run(place: Workplace, logs: Path, pace: Pace, threads: int, log_level: str) -> dict[str, Any]:
    """Publish versions, by turns followed by POST /v1/models/reload and left to the watcher."""
    versions = 2 if pace.quick else 8
    requests = [http(SCORE, as_instances(x)) for x in single_rows()]
    seen: dict[str, list[float]] = {"reload": [], "watcher": []}
    with running(service(place, threads, log_level), logs) as server:
        gap_s = 1.0
        seconds = versions * (gap_s + (4 if pace.quick else 8))
        load_job = Job(server.port, requests, CONNECTIONS, seconds, 0.2)
        at_work, started = Running(load_job), time.perf_counter()
        time.sleep(1.0)
        published: list[str] = []
        try:
            for i in range(versions):
                version = str(2 + i)
                way = "watcher" if i % 2 else "reload"
                publish_copy(place, version)
                published.append(version)
                asked = time.perf_counter()
                if way == "reload":
                    status, answer = server.request("POST", "/v1/models/reload", b"")
                    if status != 200:
                        raise RuntimeError(f"POST /v1/models/reload answers {status}: {answer[:200]!r}")
                if not _answers(server, version, requests_body=as_instances(single_rows(1)[0])):
                    raise RuntimeError(
                        f"version {version} was not served {SEEN_WITHIN_S:.0f} s after ({way})"
                    )
                seen[way].append(time.perf_counter() - asked)
                if time.perf_counter() - started > seconds - 2:
                    break
                time.sleep(gap_s)
        finally:
            load = at_work.result()
    one = figures(load)
    failed = failures(one) + int((load.status == 429).sum())
    waits = "; ".join(f"by {way} in {np.median(s):.2f} s" for way, s in seen.items() if s)
    said = (
        f"{failed} of {len(load.status):,} failed over {len(published)} new versions; served {waits}; "
        f"p99 {one['good_p99_ms']:.2f} ms, longest {one['good_max_ms']:.0f} ms"
    )
    title = f"new versions while {CONNECTIONS} connections score"
    return {"rounds": {"load": [one]}, "seen_s": seen, "rows": [row("0 failed", said, failed == 0, title)]}


def _answers(server: Server, version: str, requests_body: bytes) -> bool:
    """Whether the bare name comes to mean `version` soon."""
    until = time.perf_counter() + SEEN_WITHIN_S
    while time.perf_counter() < until:
        status, answer = server.request("POST", SCORE, requests_body)
        if status == 200 and orjson.loads(answer)["version"] == version:
            return True
        time.sleep(0.02)
    return False
