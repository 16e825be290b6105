"""Ten times overload for a minute: what is still answered, how fast the rest is refused, and what memory does.

Two sorts of work, because two things can be the limit. Blocks of digits keep the model busy: an open loop sends ten
times as many as the server can answer, whatever becomes of them. Single rows of the small model keep HTTP busy, where
refusing costs as much as answering, so no server can be offered ten times its rate on the same machine; there a
thousand connections ask without pause, once waiting as `Retry-After` says and once asking again at once.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from _service_job import Job
from _service_measure import Pace, failures, measure, median, row
from _service_model import NPY, Workplace, as_instances, as_npy, digit_rows, http, single_rows
from _service_servers import Server, running
from _service_specs import service

TIMES = 10
MANY = 1000
BEST_AT = (
    16,
    64,
    128,
)  # connections at which the best is looked for: below the queue's size, so none is refused
DIGIT_ROWS = 64
GOODPUT, REFUSAL_MS = 0.9, 10.0
FLAT = 0.03  # growth of memory from the second to the last quarter of the minute


def run(place: Workplace, logs: Path, pace: Pace, threads: int, log_level: str) -> dict[str, Any]:
    """Best, overload, best again, for each form; memory every half second."""
    blocks = [http("/v1/models/digits/score", as_npy(x), NPY, NPY) for x in digit_rows(32, DIGIT_ROWS)]
    single = [http("/v1/models/small/score", as_instances(x)) for x in single_rows()]
    forms: dict[str, tuple[list[bytes], dict[str, Any]]] = {
        f"blocks of {DIGIT_ROWS} digits, {TIMES} times the best rate": (blocks, {"rate": True}),
        f"single rows, {MANY} connections that wait as told": (single, {"honour_retry_after": True}),
        f"single rows, {MANY} connections that ask again at once": (single, {}),
    }
    results, rows = {}, []
    for title, (requests, options) in forms.items():
        with running(service(place, threads, log_level), logs) as server:
            results[title] = one = _form(server, requests, options, pace)
        rows += _rows(title, one)
        print(f"  overload: {title}", flush=True)
    return {"rounds": results, "rows": rows}


def _form(server: Server, requests: list[bytes], options: dict[str, Any], pace: Pace) -> dict[str, Any]:
    before = _best(server, requests, pace)
    asked = dict(options)
    if asked.pop("rate", False):
        asked["rate"] = TIMES * before["good_per_s"]
    job = Job(server.port, requests, MANY, pace.overload_s, pace.warmup_s, **asked)
    memory: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            memory.append(round(server.rss_mib(), 1))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        overload = measure(server, job)[1]
    finally:
        done.set()
        watcher.join()
    alive = server.get("/readyz")[0] == 200
    return {
        "best_before": before,
        "overload": overload,
        "best_after": _best(server, requests, pace),
        "rss_mib": memory,
        "ready_after": alive,
    }


def _best(server: Server, requests: list[bytes], pace: Pace) -> dict[str, float]:
    found = []
    for n in BEST_AT:
        each = [
            measure(server, Job(server.port, requests, n, pace.seconds, pace.warmup_s))[1]
            for _ in range(min(3, pace.rounds))
        ]
        rate = median(each, "good_per_s")
        found.append(min(each, key=lambda one: abs(one["good_per_s"] - rate)) | {"connections": n})
    return max(found, key=lambda one: one["good_per_s"])


def _rows(title: str, one: dict[str, Any]) -> list[dict[str, Any]]:
    load, best = one["overload"], max(one["best_before"]["good_per_s"], one["best_after"]["good_per_s"])
    share = load["good_per_s"] / best
    refused = load["refused_per_s"] / max(load["answers_per_s"], 1e-9)
    p50 = load.get("refused_p50_ms")
    memory = one["rss_mib"]
    quarters = [float(np.median(part)) for part in np.array_split(memory, 4) if len(part)] or [0.0]
    growth = quarters[-1] / quarters[min(1, len(quarters) - 1)] - 1 if quarters[0] else 0.0
    offered = load["sent_per_s"] / best
    unsent = f", {load['not_sent']:,.0f} more found no free connection" if load["not_sent"] else ""
    failed = int(load["server_errors"])
    other = failures(load) - failed
    out = [
        row(
            f"goodput at least {GOODPUT:.0%} of the best",
            f"{share:.0%} of the best ({load['good_per_s']:,.0f} of {best:,.0f}/s); sent {offered:.1f} times the "
            f"best{unsent}; p99 of the accepted {load.get('good_p99_ms', float('nan')):.0f} ms (at its best "
            f"{one['best_before']['good_p99_ms']:.0f})",
            share >= GOODPUT,
            f"overload: {title}",
        ),
        row(
            f"refused in under {REFUSAL_MS:g} ms at the median",
            "none refused"
            if p50 is None
            else f"{refused:.0%} refused, median {p50:.1f} ms, p99 {load['refused_p99_ms']:.0f} ms",
            None if p50 is None else p50 < REFUSAL_MS,
            "refusals",
        ),
        row(
            "no 5xx, ready after",
            f"{failed} answers of 5xx, {other} other failures, ready after: {'yes' if one['ready_after'] else 'no'}",
            failed == 0 and one["ready_after"],
            "errors",
        ),
        row(
            f"memory flat (grows under {FLAT:.0%})",
            f"{quarters[0]:.0f} MiB in the first quarter, {quarters[-1]:.0f} in the last; {growth:+.1%} from the "
            f"second to the last, peak {max(memory, default=0):.0f}",
            growth < FLAT,
            "memory",
        ),
    ]
    return out
