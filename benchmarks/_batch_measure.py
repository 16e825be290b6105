"""One command in a process of its own: seconds, CPU seconds and peak memory; and what is made of several rounds."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EBM = str(Path(sys.executable).with_name("ebm"))


@dataclass(frozen=True)
class Pace:
    """How many rows and how often. rows: of the speed of each model; csv: of its CSV; peer, knn: of the peers;
    memory: the two that are compared; job, ray: of those parts; chunk: rows of a chunk for Ray."""

    rounds: int
    rows: dict[str, int]
    csv: int
    peer: int
    knn: int
    memory: tuple[int, int]
    job: int
    ray: int
    chunk: int
    quick: bool = False


FULL = Pace(
    rounds=3,
    rows={"breast-cancer": 2_000_000, "network": 5_000_000, "digits": 40_000},
    csv=1_000_000,
    peer=500_000,
    knn=200_000,
    memory=(1_000_000, 20_000_000),
    job=5_000_000,
    ray=2_000_000,
    chunk=32_768,
)
QUICK = Pace(
    rounds=1,
    rows={"breast-cancer": 20_000, "network": 40_000, "digits": 500},
    csv=5_000,
    peer=5_000,
    knn=5_000,
    memory=(150_000, 300_000),
    job=40_000,
    ray=40_000,
    chunk=4_000,
    quick=True,
)


@dataclass(frozen=True)
class Ran:
    """wall_s: from exec to its end; cpu_s: of all its threads; peak_mib: of its resident memory; said: the JSON that it
    printed last."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    said: dict[str, Any]


def run(command: Sequence[str]) -> Ran:
    """The command, by its path, to its end. Raises RuntimeError, with its last line, where it fails."""
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        tempfile.NamedTemporaryFile() as used,
    ):
        launch = [sys.executable, "-I", "-S", str(HERE / "_batch_launch.py"), used.name, *command]
        process = subprocess.Popen(
            launch,
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            env=environment(),
            start_new_session=True,
        )
        try:
            process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        for file in (out, err):
            file.seek(0)
        found = json.loads(used.read() or b'{"code": "no answer"}')
        if code := found.pop("code"):
            lines = err.read().decode(errors="replace").strip().splitlines()
            raise RuntimeError(f"{' '.join(command[1:4])}: {lines[-1] if lines else code}")
        return Ran(**found, said=json.loads(out.read()))


def environment() -> dict[str, str]:
    """One thread of compute, and none of the caller's settings."""
    mine = ("EBM_", "OMP_", "MKL_", "RAY_")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(mine)}
    return clean | {"OMP_NUM_THREADS": "1"}


def score(models: Path, model: str, rows: Path, output: Path, *more: str) -> Ran:
    """`ebm score` with one thread of compute; its `said` is the summary."""
    fixed = ["--models", str(models), "--threads", "1", "--json", "--fresh"]
    return run([EBM, "score", model, str(rows), "-o", str(output), *fixed, *more])


def script(name: str, *arguments: object) -> Ran:
    """One of the benchmark's own scripts."""
    return run([sys.executable, str(HERE / name), *map(str, arguments)])


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest of the rounds."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def row(title: str, target: str, reached: str, met: bool | None = None) -> dict[str, Any]:
    return {"title": title, "target": target, "reached": reached, "met": met}


def told(values: dict[str, float], form: str = "{:.2f}") -> str:
    """`median (low to high)`."""
    middle, low, high = (form.format(values[key]) for key in ("median", "low", "high"))
    return middle if low == high else f"{middle} ({low} to {high})"
