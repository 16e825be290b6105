"""Small real models in a folder, and a client that talks to the app in this process."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_jobs import FakeJobs
from in_process import Client, running

from ebm import artifact
from ebm.detector import Detector
from ebm.fitting import fit_detector
from ebm.training.config import TrainConfig
from service.engine import Engine
from service.settings import Settings

HEIGHT, WIDTH, HIGH = 6, 5, 16.0
SAMPLER = {
    "kind": "annealed_langevin",
    "sigma_min": 0.1,
    "sigma_max": 2.0,
    "n_levels": 5,
    "step_size": 0.2,
    "n_steps_per_level": 3,
}


def fit_images(version: str, bandwidth: float) -> Detector:
    config = TrainConfig.model_validate(
        {
            "name": "blobs",
            "version": version,
            "accelerator": "cpu",
            "data": {"kind": "builtin", "name": "digits"},
            "preprocessing": {"kind": "image", "low": 0, "high": HIGH},
            "terms": [{"name": "kernel", "energy": {"kind": "kernel", "bandwidth": bandwidth}}],
            "sampling": {"term": "kernel", "sampler": SAMPLER},
        }
    )
    rng = np.random.default_rng(0)
    rows = np.clip(8 + 4 * rng.standard_normal((60, HEIGHT, WIDTH)), 0, HIGH)
    return fit_detector(config, rows[:40], rows[40:])


def fit_table() -> Detector:
    config = TrainConfig.model_validate(
        {
            "name": "people",
            "version": "1",
            "accelerator": "cpu",
            "data": {"kind": "builtin", "name": "breast_cancer"},
            "preprocessing": {"kind": "standardize"},
            "terms": [{"name": "kernel", "energy": {"kind": "kernel", "bandwidth": 1.0}}],
        }
    )
    rows = np.random.default_rng(1).normal([40, 3000, 1.7], [10, 500, 0.1], (139, 3))
    return fit_detector(config, rows[:100], rows[100:], columns=["age", "income", "height"])


@pytest.fixture(scope="session")
def detectors() -> dict[str, Detector]:
    return {"blobs": fit_images("2", 0.5), "people": fit_table()}


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory, detectors: dict[str, Detector]) -> Path:
    """blobs 1 and 2 (images: all calls), people 1 (a table: scores only), broken 1 (altered after publishing)."""
    folder = tmp_path_factory.mktemp("models")
    artifact.publish(fit_images("1", 2.0), folder, "# blobs")
    artifact.publish(detectors["blobs"], folder, "# blobs")
    path = artifact.publish(detectors["people"], folder, "# people")
    shutil.copytree(path, folder / "broken" / "1")
    (folder / "broken" / "1" / "weights.safetensors").write_bytes(b"altered")
    return folder


@pytest.fixture(scope="session")
def client(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The app with small limits, shared by the tests that leave nothing behind. Its jobs succeed at once."""
    settings = Settings(
        models_dir=models_dir,
        log_level="error",
        max_body_bytes=200_000,
        max_rows=100,
        max_denoise_rows=8,
        max_samples=16,
        max_steps=500,
        max_values=10_000,
        max_pixels=10_000,
        data_dir=tmp_path_factory.mktemp("jobs"),
    )
    with running(settings, FakeJobs(finish=True)) as client:
        yield client


@pytest.fixture(scope="session")
def both(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An app with small limits and all models, one of mixed columns among them."""
    from test_mixed_requests import CONFIG, table

    folder = tmp_path_factory.mktemp("both") / "models"
    shutil.copytree(models_dir, folder)
    rows = table()
    mixed = fit_detector(TrainConfig.model_validate(CONFIG), rows.slice(0, 100), rows.slice(100))
    artifact.publish(mixed, folder, "# mixed")
    settings = Settings(
        models_dir=folder,
        log_level="error",
        max_body_bytes=4_000_000,
        max_decompressed_bytes=5_000_000,
        max_rows=100,
        max_pixels=10_000,
    )
    with running(settings) as client:
        yield client


@pytest.fixture
def serve(models_dir: Path) -> Iterator[Callable[..., Client]]:
    """Start an app with settings of one's own; it stops with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            running(Settings(**{"models_dir": models_dir, "log_level": "error", **settings}))
        )


@pytest.fixture
def image() -> np.ndarray:
    """(H, W), a plausible row of `blobs`, not square and different at every pixel."""
    return np.linspace(2, 14, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)


@pytest.fixture
def person() -> dict[str, float]:
    return {"age": 41.0, "income": 3100.0, "height": 1.75}


@pytest.fixture
def put(models_dir: Path, tmp_path: Path) -> Callable[..., Path]:
    """Publish blobs 1 or 2 under a name and version, as `artifact.publish` does: beside, then renamed."""

    def put(name: str, version: str, of: str = "1") -> Path:
        target = tmp_path / "models" / name / version
        shutil.copytree(models_dir / "blobs" / of, target.parent / ".beside")
        return (target.parent / ".beside").rename(target)

    return put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def make_engine() -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def start(**options: Any) -> Engine:
        engines.append(Engine(**{"chunk_s": 1e9, "part_s": 1e9, **options}))
        engines[-1].start()
        return engines[-1]

    yield start
    for engine in engines:
        engine.stop(drain_s=0)
