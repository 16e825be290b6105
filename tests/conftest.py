"""Markers, threads and seeds that every test shares."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

# Before torch loads: the tests run small tensors, where a second thread only costs.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from hypothesis import settings

from ebm.data import load_builtin
from ebm.detector import Detector
from ebm.fitting import fit_detector
from ebm.training.config import TrainConfig

torch.set_num_threads(1)

# A busy machine must not fail a test, and the same commit must give the same result.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="run the tests marked slow as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons: dict[str, str] = {}
    if not config.getoption("--run-slow"):
        reasons["slow"] = "takes minutes: run with --run-slow"
    if not torch.cuda.is_available():
        reasons["gpu"] = "no CUDA device"
    if not any(shutil.which(name) for name in BROWSERS):
        reasons["browser"] = "no Chromium"
    if find_spec("ray") is None:
        reasons["ray"] = "Ray is not installed: pip install -c constraints.txt -e '.[ray]'"
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def generator() -> torch.Generator:
    """Randomness on the CPU, seeded alike in every test."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; tests that use it carry the `browser` marker, and are skipped without one."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    assert found is not None, "mark this test with @pytest.mark.browser"
    return found


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """Zeros and ones of scikit-learn's digits, (360, 8, 8) in 0..16."""
    table = load_builtin("digits")
    assert table.labels is not None
    return table.values[table.labels <= 1]


@pytest.fixture(scope="session")
def tiny_config() -> TrainConfig:
    """A kernel and a small score-matched network on images; seconds to train."""
    loop = {"n_steps": 150, "batch_size": 64, "learning_rate": 0.004, "weight_decay": 1.0}
    sigmas = {"sigma_min": 0.05, "sigma_max": 4.0}
    sampler = sigmas | {"kind": "annealed_langevin", "n_levels": 8, "step_size": 0.2, "n_steps_per_level": 2}
    return TrainConfig.model_validate(
        {
            "name": "tiny",
            "data": {"kind": "builtin", "name": "digits", "normal": [0, 1]},
            "preprocessing": {"kind": "image", "low": 0, "high": 16},
            "terms": [
                {"name": "kernel", "energy": {"kind": "kernel", "bandwidth": 0.1}},
                {
                    "name": "network",
                    "energy": {"kind": "residual", "width": 32, "depth": 2},
                    "objective": {"kind": "dsm", **sigmas},
                    "training": loop,
                    "sigmas": [0.2],
                },
            ],
            "sampling": {"term": "network", "sampler": sampler},
        }
    )


@pytest.fixture(scope="session")
def tiny(tiny_config: TrainConfig, digits: np.ndarray) -> Detector:
    """That model, trained on 200 rows and calibrated on 100."""
    order = np.random.default_rng(0).permutation(len(digits))
    return fit_detector(tiny_config, digits[order[:200]], digits[order[200:300]])
