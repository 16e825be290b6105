"""Small trained models of pairs and of classes, made once for the tests of all that serves them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ebm.detector import Detector
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig

CENTRES = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
NAMES = np.array(["left", "right", "above"])


def blobs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, 2) of three round clusters of sd .4, and their names."""
    rng = np.random.default_rng(seed)
    which = rng.integers(3, size=n)
    return CENTRES[which] + 0.4 * rng.normal(size=(n, 2)), NAMES[which]


def joint_config(**changes: Any) -> ModelConfig:
    joint = {
        "name": "joint",
        "energy": {"kind": "joint", "classes": ["left", "right", "above"], "width": 24, "depth": 2},
        "objective": {"kind": "joint", "density": {"kind": "dsm", "sigma_min": 0.2}},
        "training": {"n_steps": 250, "batch_size": 64, "learning_rate": 1e-2, "ema": 0.95},
    }
    sampling = {"term": "joint", "n_steps": 60, "sampler": {"kind": "mala", "step_size": 0.03}}
    whole = {
        "name": "places",
        "preprocessing": {"kind": "standardize"},
        "terms": [joint],
        "sampling": sampling,
    }
    return ModelConfig.model_validate(whole | changes)


@lru_cache
def joint_model() -> Detector:
    rows, labels = blobs(500, 0)
    return fit_detector(joint_config(), rows[:400], rows[400:], columns=["x", "y"], labels=labels[:400])


def sine(n: int, seed: int) -> np.ndarray:
    """Rows (n, 3): x uniform in [-3, 3], and y = (sin x, cos x) with noise of sd .05."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, n)
    return np.column_stack([x, np.sin(x), np.cos(x)]) + [[0, 1, 1]] * (0.05 * rng.normal(size=(n, 3)))


@lru_cache
def structured_model() -> Detector:
    pairs = {
        "name": "pairs",
        "energy": {"kind": "structured", "n_targets": 2, "width": 32, "depth": 2},
        "objective": {"kind": "structured_dsm", "sigma": 0.3},
        "training": {"n_steps": 300, "batch_size": 64, "learning_rate": 1e-2, "ema": 0.95},
    }
    config = {"name": "circle", "preprocessing": {"kind": "standardize"}, "terms": [pairs]}
    rows = sine(900, 0)
    columns = ["x", "sin", "cos"]
    return fit_detector(ModelConfig.model_validate(config), rows[:800], rows[800:], columns=columns)
