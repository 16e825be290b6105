"""Markers, threads and seeds that every test shares."""

from __future__ import annotations

import os
import shutil

# Before torch loads: the tests run small tensors, where a second thread only costs.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings

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
