"""Detectors whose energies are known in closed form, for tests of what is built on detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ebm.answers import SamplingState
from ebm.calibration import Calibration
from ebm.detector import Detector
from ebm.energies import Expert, ProductOfExperts
from ebm.energies.analytic import Gaussian
from ebm.manifest import Manifest
from ebm.preprocessing import Standardize
from ebm.preprocessing.protocol import Preprocessor

ANNEALED = {
    "kind": "annealed_langevin",
    "sigma_min": 0.2,
    "sigma_max": 3.0,
    "n_levels": 8,
    "step_size": 0.5,
    "n_steps_per_level": 60,
    "denoise_last": False,
}
PLAIN = {"kind": "langevin", "step_size": 0.02}


def standardize(mean: Sequence[float], sd: Sequence[float], columns: list[str] | None = None) -> Standardize:
    """z = (x - mean) / sd with exactly these figures."""
    mean_, sd_ = np.array(mean, float), np.array(sd, float)
    fitted = Standardize().fit(np.stack([mean_ - sd_, mean_ + sd_]), columns)
    arrays = fitted.arrays()
    return fitted.load_arrays(arrays | {"mean": mean_, "sd": sd_})


def gaussian(mean: Sequence[float], variance: Sequence[float]) -> Gaussian:
    """Of independent coordinates, in preprocessed units."""
    return Gaussian(torch.tensor(mean), torch.diag(1 / torch.tensor(variance)))


def analytic_detector(
    energy: nn.Module,
    preprocessor: Preprocessor,
    calibration_rows: Any,
    *,
    name: str = "a",
    version: str = "1",
    sampler: dict[str, Any] | None = None,
    n_steps: int = 400,
) -> Detector:
    """One energy in the preprocessor's coordinates, calibrated on rows in user units."""
    product = ProductOfExperts({"only": energy}, [Expert("only", None, 1.0)])
    with torch.no_grad():
        x = torch.from_numpy(preprocessor.transform(calibration_rows))
        values = product(x).double().numpy()
    summary = {"n": len(values), "mean": values.mean(), "sd": values.std(), "default_fpr": 0.05}
    manifest = Manifest.model_validate(
        {
            "name": name,
            "version": version,
            "kind": preprocessor.kind,
            "created": "2026-01-01",
            "input": preprocessor.schema(),
            "preprocessing": {"kind": "standardize" if preprocessor.kind == "tabular" else "image"},
            "terms": [
                {"name": "only", "energy": {"kind": "kernel"}, "objective": None, "weight": 1.0, "sigmas": []}
            ],
            "sampling": None if sampler is None else {"term": "only", "sampler": sampler, "n_steps": n_steps},
            "calibration": summary,
            "data": {
                "source": "known",
                "fingerprint": "",
                "n_train": 1,
                "n_calibration": len(values),
                "n_test": 0,
                "seed": 0,
            },
        }
    )
    scores = (values - summary["mean"]) / summary["sd"]
    state = None if sampler is None else SamplingState(x.mean(0), x.std(0), None)
    return Detector(manifest, preprocessor, product, Calibration.fit(scores), state)


class JointMixture(nn.Module):
    """E(x, y) = -log w_y N(x; m_y, s^2 I): p(y | x) is the posterior of a mixture of Gaussians."""

    classes = ("left", "right", "above")

    def __init__(self, means: Tensor, weights: Tensor, s: float):
        super().__init__()
        self.register_buffer("means", means)
        self.register_buffer("weights", weights)
        self.s = s

    def class_energies(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        assert sigma is None
        squared = (x[:, None] - self.means).square().sum(2)
        d = x.shape[1]
        return squared / (2 * self.s**2) + d / 2 * np.log(2 * np.pi * self.s**2) - self.weights.log()

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        return -torch.logsumexp(-self.class_energies(x, sigma), 1)
