"""Energy-based models for anomaly scores, denoising and generation.

    from ebm import load, resolve
    detector = load(resolve("models", "digits"))
    detector.score(rows).p_value

The names below are imported when first used, because most of them load torch.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebm.artifact import list_models, load, publish, resolve, verify
    from ebm.detector import Detector, Generated, Scores
    from ebm.estimator import EnergyDetector
    from ebm.fitting import fit_detector
    from ebm.runs import train
    from ebm.training.config import TrainConfig

_HOMES = {
    "Detector": "ebm.detector",
    "EnergyDetector": "ebm.estimator",
    "Generated": "ebm.detector",
    "Scores": "ebm.detector",
    "TrainConfig": "ebm.training.config",
    "fit_detector": "ebm.fitting",
    "list_models": "ebm.artifact",
    "load": "ebm.artifact",
    "publish": "ebm.artifact",
    "resolve": "ebm.artifact",
    "train": "ebm.runs",
    "verify": "ebm.artifact",
}

__version__ = metadata.version("ebm-service")
__all__ = [
    "Detector",
    "EnergyDetector",
    "Generated",
    "Scores",
    "TrainConfig",
    "fit_detector",
    "list_models",
    "load",
    "publish",
    "resolve",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ebm' has no attribute '{name}'")
