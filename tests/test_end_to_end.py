"""The main job as a user does it: train by command, serve in a process of its own, ask over HTTP, and compare every
answer with the library's own."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from ebm.artifact import load
from ebm.data import load_builtin
from ebm.detector import Detector

CONFIG = """
name: tiny
data: {kind: builtin, name: digits, normal: [0, 1]}
split: {train: 0.5, calibration: 0.25}
preprocessing: {kind: image, low: 0, high: 16}
terms:
  - name: kernel
    energy: {kind: kernel, bandwidth: 0.1}
  - name: network
    energy: {kind: residual, width: 32, depth: 2}
    objective: {kind: dsm, sigma_min: 0.05, sigma_max: 4.0}
    training: {n_steps: 60, batch_size: 64, learning_rate: 0.004, log_every: 10}
    sigmas: [0.2]
sampling:
  term: network
  sampler: {kind: annealed_langevin, sigma_min: 0.05, sigma_max: 4.0, n_levels: 8, step_size: 0.2, n_steps_per_level: 2}
"""

EBM = [sys.executable, "-c", "from ebm.cli import main; main()"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("end_to_end")
    (folder / "tiny.yaml").write_text(CONFIG)
    command = [*EBM, "train", "tiny.yaml", "--models", "models", "--run-dir", "run"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for name in ("config.yaml", "metrics.jsonl", "curves.png", "samples.png"):
        assert (folder / "run" / name).stat().st_size > 0
    return folder / "models"


@pytest.fixture(scope="module")
def detector(models: Path) -> Detector:
    return load(models / "tiny" / "1")


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[httpx.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (models.parent / "server.log").open("w+")
    process = subprocess.Popen(
        [*EBM, "serve", "--host", "127.0.0.1", "--port", str(port), "--models", str(models)],
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, Path(log.name).read_text()
            assert time.monotonic() < deadline, "the server did not become ready"
            try:
                if client.get("/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        yield client
    finally:
        client.close()
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(timeout=30) in (0, -signal.SIGTERM), Path(log.name).read_text()
        finally:
            process.kill()
            log.close()


def pictures() -> np.ndarray:
    return load_builtin("digits").values[:6]


def test_scores_over_http_are_the_librarys(server: httpx.Client, detector: Detector) -> None:
    rows = pictures()
    answer = server.post("/v1/models/tiny/score", json={"instances": rows.tolist(), "fpr": 0.1})
    assert answer.status_code == 200, answer.text
    body, scores = answer.json(), detector.score(rows, fpr=0.1)
    assert body["higher_is_more_anomalous"] is True
    np.testing.assert_allclose(body["energy"], scores.energy, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(body["anomaly_score"], scores.anomaly_score, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(body["p_value"], scores.p_value, atol=1e-12)
    assert body["is_anomaly"] == scores.is_anomaly.tolist()
    assert body["rank"] == scores.rank.tolist()
    # Digits 2 to 9 were not in the training set: the answers are about the data, not only consistent.
    assert np.mean(body["p_value"][2:]) < np.mean(body["p_value"][:2])


def test_denoised_npy_over_http_is_the_librarys(server: httpx.Client, detector: Detector) -> None:
    rows = pictures()
    stream = io.BytesIO()
    np.save(stream, rows)
    answer = server.post(
        "/v1/models/tiny/denoise?sigma=0.3",
        content=stream.getvalue(),
        headers={"Content-Type": "application/x-npy"},
    )
    assert answer.status_code == 200, answer.text
    found = np.load(io.BytesIO(answer.content), allow_pickle=False)
    np.testing.assert_allclose(found, detector.denoise(rows, sigma=0.3), rtol=1e-5, atol=1e-5)


def test_a_png_comes_back_as_a_png(server: httpx.Client) -> None:
    stream = io.BytesIO()
    Image.fromarray((pictures()[0] / 16 * 255).astype(np.uint8)).save(stream, format="PNG")
    headers = {"Content-Type": "image/png"}
    answer = server.post("/v1/models/tiny/denoise", content=stream.getvalue(), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (8, 8)


def test_generated_samples_over_http_are_the_librarys(server: httpx.Client, detector: Detector) -> None:
    body = {"n": 3, "seed": 7, "n_steps": 1}
    answer = server.post("/v1/models/tiny/generate", json=body, headers={"Accept": "application/x-npy"})
    assert answer.status_code == 200, answer.text
    found = np.load(io.BytesIO(answer.content), allow_pickle=False)
    np.testing.assert_allclose(found, detector.generate(3, seed=7, n_steps=1).samples, rtol=1e-5, atol=1e-4)


def test_the_page_and_the_metrics_are_there(server: httpx.Client) -> None:
    assert "text/html" in server.get("/").headers["content-type"]
    assert "tiny" in {m["name"] for m in server.get("/v1/models").json()["models"]}
    assert server.get("/metrics").status_code == 200


def test_a_wrong_width_names_the_row(server: httpx.Client) -> None:
    answer = server.post("/v1/models/tiny/score", json={"instances": [pictures()[0].tolist(), [1.0, 2.0]]})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["row"] == 1
