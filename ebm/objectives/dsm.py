"""Denoising score matching at one noise level or over many."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.objectives.noise_levels import denoising_weight, log_normal, log_uniform
from ebm.types import LossOutput


class DSMConfig(Frozen):
    """Noise levels log-uniform in [`sigma_min`, `sigma_max`]; equal bounds (or no `sigma_max`) give one level.

    With `log_mean` they are log-normal, ln sigma ~ N(log_mean, log_sd^2), clipped to the bounds, and high ones weigh
    more: for images, whose details are decided at a few levels.
    """

    kind: Literal["dsm"] = "dsm"
    over_levels: ClassVar[bool] = True
    sigma_min: float = Field(default=0.05, gt=0)
    sigma_max: float | None = Field(default=None, gt=0)
    log_mean: float | None = None
    log_sd: float = Field(default=1.1, gt=0)

    @model_validator(mode="after")
    def _ascending(self) -> DSMConfig:
        if self.sigma_max is not None and self.sigma_max < self.sigma_min:
            raise ValueError("'sigma_max' is below 'sigma_min'")
        if self.log_mean is not None and self.sigma_max is None:
            raise ValueError("'log_mean' needs 'sigma_max': without it there is one level")
        return self

    def build(self) -> DenoisingScoreMatching:
        return DenoisingScoreMatching(self.sigma_min, self.sigma_max, self.log_mean, self.log_sd)


class DenoisingScoreMatching:
    """mean over rows and coordinates of (sigma * grad_x E(x + sigma eps, sigma) - eps)^2, eps ~ N(0, I).

    -grad E then matches the score function of the data with noise sigma (Vincent 2011, eq. 11); the factor sigma^2
    weighs the levels alike (Song and Ermon 2019); log-normal levels weigh by `denoising_weight(sigma) sigma^2` beside
    it (Karras et al. 2022). sigma is stratified over the batch. The learned energy is that of the *noisy* data: a
    Gaussian of covariance C comes back as C + sigma^2 I.

    Called with an energy (noise-conditional where several levels are used), x (B, ...) and a generator.
    """

    def __init__(
        self,
        sigma_min: float,
        sigma_max: float | None = None,
        log_mean: float | None = None,
        log_sd: float = 1.1,
    ):
        self.sigma_min = sigma_min
        self.sigma_max = sigma_min if sigma_max is None else sigma_max
        self.log_mean, self.log_sd = log_mean, log_sd

    def levels(self, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """sigma (B,) and the weight of each row (B,)."""
        if self.log_mean is None:
            sigma = log_uniform(x, generator, self.sigma_min, self.sigma_max)
            return sigma, torch.ones_like(sigma)
        sigma = log_normal(x, generator, self.log_mean, self.log_sd, self.sigma_min, self.sigma_max)
        return sigma, denoising_weight(sigma) * sigma.square()

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        sigma, weight = self.levels(x, generator)
        wide = sigma.reshape(-1, *[1] * (x.dim() - 1))
        eps = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        noisy = x + wide * eps
        if hasattr(energy, "gradient"):  # written out by hand: no double backward pass
            gradient = energy.gradient(noisy, sigma=sigma)
            with torch.no_grad():
                energies = energy(noisy, sigma=sigma)
        else:
            with torch.enable_grad():
                noisy.requires_grad_(True)
                energies = energy(noisy, sigma=sigma)
                gradient = torch.autograd.grad(energies.sum(), noisy, create_graph=True)[0]
        loss = (weight * (wide * gradient - eps).flatten(1).square().mean(1)).mean()
        metrics = {"real": float(energies.detach().mean()), "spread": float(energies.detach().std())}
        return LossOutput(loss, metrics)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # nothing is carried from batch to batch
