"""The whole way: a real server, the worker process that it starts, and the client."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pytest
from live_server import live_server

from ebm import artifact
from ebm.client import Client
from service.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(models_dir: Path, tmp_path: Path) -> Settings:
    return Settings(models_dir=models_dir, data_dir=tmp_path / "data", log_level="error", job_heartbeat_s=0.5)


def people(n: int) -> np.ndarray:
    return np.random.default_rng(3).normal([40, 3000, 1.7], [10, 500, 0.1], (n, 3))


def written(path: Path, rows: np.ndarray) -> Path:
    lines = ["id,income,age,height", *(f"{i},{b!r},{a!r},{c!r}" for i, (a, b, c) in enumerate(rows.tolist()))]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_an_uploaded_file_comes_back_scored_row_by_row(
    settings: Settings, models_dir: Path, tmp_path: Path
) -> None:
    rows = people(5000)
    file = written(tmp_path / "people.csv", rows)
    lines = file.read_text().splitlines()
    lines[18] = "17,3000.5,old,1.7"
    file.write_text("\n".join(lines) + "\n")
    with live_server(settings) as address, Client(address, timeout=120) as client:
        job = client.submit_job(
            "score", "people", file=file, output="out.csv", options={"fpr": 0.1, "rows_per_chunk": 512}
        )
        seen = list(client.follow_job(job["id"]))
        assert [event.name for event in seen[-1:]] == ["done"]
        done = [event.data["done"] for event in seen if event.name == "progress"]
        assert done == sorted(done)
        found = client.wait_for_job(job["id"], timeout=120)
        assert found["state"] == "succeeded", found["error"]
        assert found["progress"]["done"] == 5000 and found["summary"]["rejected"] == 1
        out = client.download_job_result(job["id"], tmp_path / "out.csv")
        assert client.job_rejects(job["id"]).decode().splitlines()[1].startswith("17,age,")
    table = pacsv.read_csv(out)
    assert table["id"].to_pylist() == list(range(5000))
    detector = artifact.load(artifact.resolve(models_dir, "people"))
    want = detector.score(rows, fpr=0.1)
    good = np.arange(5000) != 17
    energy = np.array(table["energy"].to_pylist(), dtype=float)
    assert np.isnan(energy[17]) and table["is_anomaly"].to_pylist()[17] is None
    np.testing.assert_array_equal(energy[good].astype(np.float32), want.energy[good])
    assert [flag for flag in table["is_anomaly"].to_pylist() if flag is not None] == want.is_anomaly[
        good
    ].tolist()


def test_a_job_outlives_its_server(settings: Settings, tmp_path: Path) -> None:
    file = written(tmp_path / "people.csv", people(3000))
    with live_server(settings) as address, Client(address, timeout=120) as client:
        job = client.submit_job(
            "score", "people", file=file, options={"rows_per_chunk": 64}, idempotency_key="k"
        )
    with live_server(settings) as address, Client(address, timeout=120) as client:
        again = client.submit_job(
            "score", "people", file=file, options={"rows_per_chunk": 64}, idempotency_key="k"
        )
        assert again["id"] == job["id"]
        found = client.wait_for_job(job["id"], timeout=120)
        assert found["state"] == "succeeded" and found["summary"]["rows"] == 3000, found["error"]
        assert len(list((settings.data_dir / "uploads").iterdir())) == 1


def test_a_job_that_cannot_run_says_why_and_one_that_runs_is_cancelled(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with live_server(settings) as address, Client(address, timeout=120) as client:
        bad = client.submit_job("score", "people", file=tmp_path / "other.csv")
        failed = client.wait_for_job(bad["id"], timeout=120)
        assert failed["state"] == "failed" and "age" in failed["error"]["detail"]
        assert str(tmp_path) not in failed["error"]["detail"]
        long = client.submit_job("generate", "blobs", options={"n": 10_000_000})
        for event in client.follow_job(long["id"]):
            if event.name == "done" or event.data["state"] == "running":
                break
        client.cancel_job(long["id"])
        assert client.wait_for_job(long["id"], timeout=120)["state"] == "cancelled"
