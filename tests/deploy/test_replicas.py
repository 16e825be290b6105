"""Every process of the profile `replicas`, started as deploy/replicas.py starts them, and some of them killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from deployed import DEPLOY, ROOT

sys.path.insert(0, str(DEPLOY))
from replicas import INITDB, NGINX, POSTGRES, service

WITHIN_S = 120.0
ROWS = 100_000


def test_the_script_runs_what_the_profile_runs() -> None:
    command, settings = service("worker")
    assert command == ["ebm", "worker"] and settings["EBM_JOBS"] == "apart"
    command, settings = service("api-1")
    assert command == ["ebm", "serve"] and settings["EBM_DATABASE_URL"].startswith("postgresql://")
    assert settings["EBM_RATE_STORAGE"] == "" and settings["EBM_DATA_DIR"] == "/data"


class Deployment:
    """url: of the proxy; pids and addresses by name."""

    def __init__(self, lines: list[str]):
        found = [re.fullmatch(r"(\S+) (\d+) ?(\d*)", line) for line in lines[:-1]]
        self.pids = {match[1]: int(match[2]) for match in found if match}
        self.urls = {match[1]: f"http://127.0.0.1:{match[3]}" for match in found if match and match[3]}
        (self.url,) = re.findall(r"ready on (\S+),", lines[-1])

    def kill(self, name: str) -> None:
        os.kill(self.pids.pop(name), signal.SIGKILL)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    command = [sys.executable, str(DEPLOY / "replicas.py"), "--port", "0", "--folder", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line.strip())
                if line.startswith("ready on"):
                    break
            assert lines and lines[-1].startswith("ready on"), lines
            yield Deployment(lines)
        finally:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
    for name, pid in Deployment(lines).pids.items():  # none is left behind
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert name


def ended(client: httpx.Client, job: str) -> dict[str, Any]:
    until = time.monotonic() + WITHIN_S
    while (found := client.get(f"/v1/jobs/{job}").raise_for_status().json())["state"] not in (
        "succeeded",
        "failed",
        "cancelled",
    ):
        assert time.monotonic() < until, found
        time.sleep(0.2)
    return found


def rows_of_parquet(path: Path, n: int) -> np.ndarray:
    """n rows like those of the model `breast-cancer`, as a file."""
    import pyarrow as pa
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    rng = np.random.default_rng(0)
    values = data.data[rng.integers(0, len(data.data), n)] * rng.uniform(0.9, 1.1, (n, 30))
    values = values.astype(np.float32)
    from ebm import load, resolve

    names = load(resolve(ROOT / "models", "breast-cancer")).columns or []
    pq.write_table(pa.table({"id": np.arange(n)} | dict(zip(names, values.T, strict=True))), path)
    return values


@pytest.mark.slow
@pytest.mark.skipif(NGINX is None or INITDB is None or POSTGRES is None, reason="no nginx, or no PostgreSQL")
def test_the_profile_scores_runs_jobs_and_survives(deployment: Deployment, tmp_path: Path) -> None:
    from ebm import load, resolve

    values = rows_of_parquet(tmp_path / "rows.parquet", ROWS)
    body = (ROOT / "examples" / "breast_cancer_rows.json").read_bytes()
    json_type = {"Content-Type": "application/json"}
    with httpx.Client(base_url=deployment.url, timeout=60) as proxy:

        def score() -> httpx.Response:
            return proxy.post("/v1/models/breast-cancer/score", content=body, headers=json_type)

        assert score().raise_for_status().json()["is_anomaly"] == [False, True]
        assert proxy.get("/metrics").status_code == 404

        # An upload through the proxy; submitted to one replica, seen by both.
        job = '{"kind": "score", "model": "breast-cancer", "options": {"rows_per_chunk": 256}}'
        with (tmp_path / "rows.parquet").open("rb") as file:
            made = proxy.post(
                "/v1/jobs",
                data={"job": job},
                files={"file": ("rows.parquet", file)},
                headers={"Idempotency-Key": "night"},
            )
        assert made.status_code == 202, made.text
        first = made.json()["id"]
        for name in ("api-1", "api-2"):
            assert httpx.get(f"{deployment.urls[name]}/v1/jobs/{first}").json()["id"] == first

        # A replica dies: scoring goes on. The worker that has the job dies: the other ends it.
        until = time.monotonic() + WITHIN_S
        while proxy.get(f"/v1/jobs/{first}").json()["progress"]["done"] == 0:
            assert time.monotonic() < until
            time.sleep(0.05)
        deployment.kill("api-1")
        assert [score().status_code for _ in range(30)] == [200] * 30
        logs = tmp_path / "run" / "logs"
        workers = [name for name in deployment.pids if name.startswith("worker")]
        (busy,) = [name for name in workers if first in (logs / f"{name}.log").read_text()]
        deployment.kill(busy)
        second = proxy.post("/v1/jobs", json={"kind": "generate", "model": "digits", "options": {"n": 5}})
        assert second.status_code == 202, second.text
        found = ended(proxy, first)
        assert found["state"] == "succeeded", found["error"]
        (other,) = [name for name in workers if name != busy]
        assert first in (logs / f"{other}.log").read_text()
        assert found["attempts"] == 2
        assert found["summary"]["rows"] == ROWS and found["summary"]["rejected"] == 0
        assert ended(proxy, second.json()["id"])["state"] == "succeeded"

        with proxy.stream("GET", f"/v1/jobs/{first}/result") as answer:
            answer.raise_for_status()
            (tmp_path / "scored.parquet").write_bytes(answer.read())
        scored = pq.read_table(tmp_path / "scored.parquet")
        assert scored["id"].to_pylist() == list(range(ROWS))
        wanted = load(resolve(ROOT / "models", "breast-cancer")).score(values).energy
        np.testing.assert_array_equal(scored["energy"].to_numpy(), wanted)
