"""Regression of a denoiser on clean images."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.objectives.noise_levels import denoising_weight, log_normal
from ebm.types import LossOutput


class RestorationConfig(Frozen):
    """ln sigma ~ N(log_mean, log_sd^2), clipped to [sigma_min, sigma_max]; see `Restoration`."""

    kind: Literal["restoration"] = "restoration"
    over_levels: ClassVar[bool] = True
    sigma_min: float = Field(default=0.03, gt=0)
    sigma_max: float = Field(default=12.0, gt=0)
    log_mean: float = -0.5
    log_sd: float = Field(default=1.1, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> RestorationConfig:
        if self.sigma_min > self.sigma_max:
            raise ValueError("'sigma_max' is below 'sigma_min'")
        return self

    def build(self) -> Restoration:
        return Restoration(self.sigma_min, self.sigma_max, self.log_mean, self.log_sd)


class Restoration:
    """mean of w(sigma) |f(x + sigma eps, sigma) - x|^2 / d, w = (1 / sigma^2 + 1 / .15) / 4.

    f = `energy.restore` then estimates the mean of the clean x given the noisy one, and (f(x, sigma) - x) / sigma^2 the
    score function of the noisy data (Vincent 2011), though f's field need not be the gradient of anything. The weight
    keeps the loss of order one at every level (Karras et al. 2022, with .15 the data's variance about the Gaussian
    guess). sigma is drawn stratified over the batch.
    """

    def __init__(self, sigma_min: float, sigma_max: float, log_mean: float, log_sd: float):
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.log_mean, self.log_sd = log_mean, log_sd

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        sigma = log_normal(x, generator, self.log_mean, self.log_sd, self.sigma_min, self.sigma_max)
        eps = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        noisy = x + sigma.reshape(-1, *[1] * (x.dim() - 1)) * eps
        clean = energy.restore(noisy, sigma)
        error = (clean - x).flatten(1).square().mean(1)
        loss = (denoising_weight(sigma) * error).mean()
        with torch.no_grad():
            energies = (noisy - clean).flatten(1).square().sum(1) / (2 * sigma.square())
        return LossOutput(loss, {"real": float(energies.mean()), "spread": float(energies.std())})

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # nothing is carried from batch to batch
