"""JEM on digits: as accurate as the classifier that it also is, and its energy knows damaged digits."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ebm.data import load_builtin
from ebm.detector import Detector
from ebm.evaluation.corruptions import corrupt_all
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig

pytestmark = pytest.mark.slow


@lru_cache
def split() -> tuple[np.ndarray, np.ndarray]:
    table = load_builtin("digits")
    assert table.labels is not None
    order = np.random.default_rng(0).permutation(len(table))
    return np.asarray(table.values)[order], table.labels[order].astype(str)


@lru_cache
def trained(density_weight: float) -> Detector:
    joint = {
        "name": "joint",
        "energy": {"kind": "joint", "classes": list(range(10)), "width": 128, "depth": 2},
        "objective": {"kind": "joint", "density_weight": density_weight},
        "training": {
            "n_steps": 800,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "weight_decay": 1e-3,
            "ema": 0.99,
        },
    }
    config = {"preprocessing": {"kind": "image", "low": 0, "high": 16}, "terms": [joint]}
    images, labels = split()
    model = ModelConfig.model_validate(config)
    return fit_detector(model, images[:1000], images[1000:1200], labels=labels[:1000])


def accuracy(model: Detector) -> float:
    images, labels = split()
    return float((np.array(model.classify(images[1200:]).label) == labels[1200:]).mean())


def auroc(model: Detector) -> float:
    """Mean over nine kinds of damage."""
    test = split()[0][1200:]
    damaged = corrupt_all(test[:, None].astype(np.float32) / 8 - 1, 0)
    own, y = model.energies(test), np.repeat([0, 1], len(test))
    found = [roc_auc_score(y, np.r_[own, model.energies(8 * x[:, 0] + 8)]) for x in damaged.values()]
    return float(np.mean(found))


def test_it_classifies_as_well_as_by_cross_entropy_alone() -> None:
    classifier, joint = accuracy(trained(0.0)), accuracy(trained(10.0))
    assert classifier > 0.95 and joint > classifier - 0.02


def test_its_energy_knows_damaged_digits() -> None:
    classifier, joint = auroc(trained(0.0)), auroc(trained(10.0))
    assert joint > 0.84 and joint > classifier + 0.1
