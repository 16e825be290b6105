"""One measurement: the generator's process against a server; and what is made of several rounds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _service_job import Job, Load
from _service_servers import Server

GENERATOR = Path(__file__).with_name("_service_load.py")


@dataclass(frozen=True)
class Pace:
    """How long and how often: `seconds` a measurement, after `warmup_s`, in `rounds` rounds."""

    seconds: float
    warmup_s: float
    rounds: int
    overload_s: float
    quick: bool


FULL = Pace(seconds=4.0, warmup_s=1.0, rounds=5, overload_s=60.0, quick=False)
QUICK = Pace(seconds=1.0, warmup_s=0.3, rounds=1, overload_s=4.0, quick=True)


class Running:
    """A generator at work in its own process."""

    def __init__(self, job: Job):
        self._folder = tempfile.TemporaryDirectory(prefix="ebm-load-")
        self._out = Path(self._folder.name) / "out.npz"
        file = job.save(Path(self._folder.name) / "job.json")
        command = [sys.executable, str(GENERATOR), str(file), str(self._out)]
        self._limit_s = job.seconds + job.warmup_s + 60
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def result(self) -> Load:
        """Wait for its end.

        Raises:
            RuntimeError: the generator failed, with its last line.
        """
        try:
            _, said = self._process.communicate(timeout=self._limit_s)
            if self._process.returncode:
                raise RuntimeError(f"the load generator failed: {said.strip().splitlines()[-1:]}")
            return Load.read(self._out)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._folder.cleanup()


def measure(server: Server, job: Job) -> tuple[Load, dict[str, float]]:
    """The load's result, and its figures with the server's CPU seconds and memory."""
    before = server.cpu_s()
    load = Running(job).result()
    used = server.cpu_s() - before
    return load, figures(load) | {
        "server_cpu_share": used / (job.seconds + job.warmup_s),
        "server_rss_mib": server.rss_mib(),
    }


def figures(load: Load) -> dict[str, float]:
    """Counts, rates and latencies (ms) of one measurement."""
    good = load.latency_s[load.status == 200]
    refused = load.latency_s[load.status == 429]
    server_errors = int((load.status >= 500).sum())
    out: dict[str, float] = {
        "answers_per_s": len(load.status) / load.seconds,
        "good_per_s": len(good) / load.seconds,
        "refused_per_s": len(refused) / load.seconds,
        "server_errors": server_errors,
        "other_answers": len(load.status) - len(good) - len(refused) - server_errors,
        "connection_errors": sum(load.errors.values()),
        "unanswered": load.unanswered,
        "sent_per_s": load.sent / load.seconds,
        "not_sent": load.not_sent,
        "generator_cpu_share": load.cpu_share,
    }
    for name, values in (("good", good), ("refused", refused)):
        if len(values):
            p50, p90, p99 = np.percentile(values, (50, 90, 99)) * 1e3
            out |= {f"{name}_p50_ms": p50, f"{name}_p90_ms": p90, f"{name}_p99_ms": p99}
            out[f"{name}_max_ms"] = float(values.max()) * 1e3
    return {key: round(float(value), 4) for key, value in out.items()}


def failures(one: dict[str, float]) -> int:
    """Requests that got neither an answer below 400 nor a refusal."""
    kinds = ("server_errors", "other_answers", "connection_errors", "unanswered")
    return int(sum(one[kind] for kind in kinds))


def median(rounds: Sequence[dict[str, float]], key: str) -> float:
    return float(np.median([one[key] for one in rounds]))


def ratio(
    a: Sequence[dict[str, float]], b: Sequence[dict[str, float]], key: str = "good_per_s"
) -> dict[str, float]:
    """a / b round by round: median, lowest and highest."""
    each = [one[key] / other[key] for one, other in zip(a, b, strict=True)]
    return {"median": float(np.median(each)), "low": min(each), "high": max(each)}


def spread(value: dict[str, float]) -> str:
    return f"{value['median']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def row(target: str, reached: str, met: bool | None, title: str, **detail: Any) -> dict[str, Any]:
    """One line of the table; `met` is None where there is no target."""
    return {"title": title, "target": target, "reached": reached, "met": met} | detail
