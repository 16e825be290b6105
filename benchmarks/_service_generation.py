"""The p99 of scoring alone, and while the shipped digits model generates in the same server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
from _service_job import Job, Load
from _service_measure import Pace, Running, failures, figures, median, row
from _service_model import Workplace, as_instances, digit_rows, http, single_rows
from _service_servers import Server, running
from _service_specs import service

RATE = (
    200.0  # requests a second, far below what the server can do: the p99 is not that of a queue of our making
)
SAMPLES = 64
GENERATIONS = (1, 2)  # at a time
REACH = 3.0


def run(place: Workplace, logs: Path, pace: Pace, threads: int, log_level: str) -> dict[str, Any]:
    """Single rows of the small model, and of digits, at a steady rate: alone, and beside 1 and 2 generations."""
    scored = {
        "small": [http("/v1/models/small/score", as_instances(x)) for x in single_rows()],
        "digits": [http("/v1/models/digits/score", as_instances(x)) for x in digit_rows(64, 1)],
    }
    seconds = 2 * pace.seconds
    loads: dict[str, list[Load]] = {}
    rounds: dict[str, list[dict[str, float]]] = {}
    with running(service(place, threads, log_level), logs) as server:
        _warm(server)
        for turn in range(pace.rounds):
            for model, requests in scored.items():
                for n in (0, *GENERATIONS):
                    job = Job(server.port, requests, 64, seconds, pace.warmup_s, rate=RATE, seed=turn)
                    load, generated = _beside(server, job, n, turn)
                    key = f"{model} beside {n}"
                    loads.setdefault(key, []).append(load)
                    rounds.setdefault(key, []).append(figures(load) | {"generations": generated})
            print(f"  generation: round {turn + 1} of {pace.rounds}", flush=True)
    return {"rounds": rounds, "rows": _rows(loads, rounds, seconds)}


def _warm(server: Server) -> None:
    body = orjson.dumps({"n": SAMPLES, "seed": 0})
    status, answer = server.request("POST", "/v1/models/digits/generate", body, timeout_s=60)
    if status != 200:
        raise RuntimeError(f"generate answers {status}: {answer[:200]!r}")


def _beside(server: Server, job: Job, generations: int, seed: int) -> tuple[Load, int]:
    """The load's result, and how many generations were finished beside it."""
    if not generations:
        return Running(job).result(), 0
    bodies = [orjson.dumps({"n": SAMPLES, "seed": 1000 * seed + i}) for i in range(32)]
    requests = [http("/v1/models/digits/generate", body) for body in bodies]
    # Begins before the scores and ends after them.
    other = Running(Job(server.port, requests, generations, job.seconds + job.warmup_s + 2.0, 0.0))
    try:
        load = Running(job).result()
    finally:
        found = other.result()
    if (found.status != 200).any():
        raise RuntimeError(f"a generation answered {sorted(set(found.status.tolist()))}")
    return load, len(found.status)


def _rows(
    loads: dict[str, list[Load]], rounds: dict[str, list[dict[str, float]]], seconds: float
) -> list[dict[str, Any]]:
    out = []
    for model in ("small", "digits"):
        alone = [one["good_p99_ms"] for one in rounds[f"{model} beside 0"]]
        said = f"p99 {np.median(alone):.2f} ms, median {median(rounds[f'{model} beside 0'], 'good_p50_ms'):.2f} ms"
        out.append(row("", said, None, f"scoring {model}, {RATE:.0f}/s: alone"))
        for n in GENERATIONS:
            each = rounds[f"{model} beside {n}"]
            beside = [one["good_p99_ms"] for one in each]
            times = np.array(beside) / np.array(alone)
            done = sum(one["generations"] for one in each) / (len(each) * seconds)
            late = sum(one["not_sent"] for one in each)
            failed = sum(map(failures, each))
            said = (
                f"p99 {np.median(beside):.2f} ms, {np.median(times):.2f} times alone ({times.min():.2f} to "
                f"{times.max():.2f}); {done:.2f} generations/s of {SAMPLES}; {late:.0f} not sent, {failed} failed"
            )
            met = bool(np.median(times) <= REACH and not failed and not late)
            title = f"scoring {model}, {RATE:.0f}/s: beside {n} generation{'s' if n > 1 else ''}"
            out.append(
                row(
                    f"at most {REACH:g} times alone", said, met, title, pooled_p99_ms=_pooled(loads, model, n)
                )
            )
    return out


def _pooled(loads: dict[str, list[Load]], model: str, n: int) -> float:
    """The p99 over all rounds together."""
    values = np.concatenate([one.latency_s[one.status == 200] for one in loads[f"{model} beside {n}"]])
    return round(float(np.percentile(values, 99)) * 1e3, 3)
