"""A durable job against the command: the same model, rows and output, by turns."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from _batch_data import TABLES, Workplace
from _batch_measure import EBM, Pace, row, score, spread, told
from _service_servers import Server, Spec, running

MODELS = ("network", "breast-cancer")
REACH = 0.05
POLL_S = 0.1


def run(place: Workplace, pace: Pace) -> dict[str, Any]:
    rows, figures = [], {}
    file = place.rows(TABLES, pace.job)
    with _serving(place) as server:
        for model in MODELS:
            _job(server, place, model, place.rows(TABLES, 1000))  # whoever starts late has started
            found: dict[str, list[float]] = {}
            for _ in range(pace.rounds):
                job = _job(server, place, model, file)
                output = place.output("out.parquet")
                alone = score(place.models, model, file, output)
                place.remove(output)
                one = job | {"command_s": alone.wall_s, "overhead": job["work_s"] / alone.wall_s - 1}
                for key, value in (one | {"whole": job["whole_s"] / alone.wall_s - 1}).items():
                    found.setdefault(key, []).append(value)
            figures[model] = {key: spread(values) for key, values in found.items()}
            rows.append(_told(model, pace.job, figures[model]))
    place.remove(file)
    return {"rows": rows, "figures": figures, "notes": [NOTE]}


NOTE = (
    "Overhead: seconds from submission to the end, less those in the queue, over the seconds of the command from exec "
    "to its end. The worker runs already and loads the model for each job; the command starts Python. Server and "
    "worker idle while the command runs."
)


def _told(model: str, n: int, one: dict[str, Any]) -> dict[str, Any]:
    reached = (
        f"{told(one['overhead'], '{:+.1%}')}: {told(one['work_s'], '{:.1f}')} s and {told(one['wait_s'])} s in the "
        f"queue, the command {told(one['command_s'], '{:.1f}')} s; with the queue {told(one['whole'], '{:+.1%}')}"
    )
    title = f"{model}, {n:,} rows: a job against the command"
    return row(title, f"< {REACH:.0%} more", reached, one["overhead"]["median"] < REACH)


def _job(server: Server, place: Workplace, model: str, file: Path) -> dict[str, float]:
    """Submit, wait: seconds in all, in the queue, and the rest."""
    output = place.output("job.parquet")
    asked = {"kind": "score", "model": model, "input": str(file), "output": str(output), "options": {}}
    start = time.perf_counter()
    status, answer = server.request("POST", "/v1/jobs", json.dumps(asked).encode())
    if status != 202:
        raise RuntimeError(f"the job was refused with {status}: {answer[:300].decode(errors='replace')}")
    job = json.loads(answer)
    while job["state"] in ("queued", "running"):
        time.sleep(POLL_S)
        status, answer = server.get(f"/v1/jobs/{job['id']}")
        job = json.loads(answer) if status == 200 else job
    whole = time.perf_counter() - start
    place.remove(output)
    if job["state"] != "succeeded":
        raise RuntimeError(f"the job {job['state']}: {(job['error'] or {}).get('detail')}")
    created, started = (datetime.fromisoformat(job[name]) for name in ("created", "started"))
    wait = (started - created).total_seconds()
    return {"whole_s": whole, "wait_s": wait, "work_s": whole - wait}


@contextmanager
def _serving(place: Workplace) -> Iterator[Server]:
    """The API and one worker, on SQLite."""
    env = {
        "EBM_DATA_DIR": str(place.folder / "data"),
        "EBM_MODELS_DIR": str(place.models),
        "EBM_JOBS": "apart",
        "EBM_JOB_ROOTS": str(place.folder),
        "EBM_THREADS": "1",
        "EBM_LOG_LEVEL": "warning",
        "OMP_NUM_THREADS": "1",
        "PATH": os.environ.get("PATH", ""),
    }
    command = (EBM, "serve", "--host", "127.0.0.1", "--port", "{port}")
    logs = place.folder / "logs"
    logs.mkdir(exist_ok=True)
    with running(Spec("api", command, "/readyz", env), logs) as server:
        worker = Server(Spec("worker", (EBM, "worker"), "", env), logs)
        try:
            yield server
        finally:
            worker.stop()
