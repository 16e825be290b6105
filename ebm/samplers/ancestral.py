"""Ancestral sampling: the reverse diffusion, from much noise to little, by a denoiser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.samplers.gradient import row_norm, standard_normal_like
from ebm.samplers.posterior import posterior_mean
from ebm.samplers.run import Stage
from ebm.types import Energy, EnergyFn, StepInfo


class AncestralStep:
    """From noise `sigma` to `below`: x <- D + (s_d / sigma) (x - D) + s_u eps, s_d^2 + s_u^2 = below^2, with D the
    denoised x. s_u^2 = below^2 (sigma^2 - below^2) / sigma^2 is the variance of the reverse diffusion.

    D comes from `energy`, that of all levels; below = 0 gives D itself.
    """

    def __init__(self, sigma: float, below: float, energy: Energy):
        self.sigma, self.below, self.energy = sigma, below, energy

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        """x (B, ...) at noise `sigma` -> x (B, ...) at noise `below`, detached."""
        x = x.detach()
        clean = posterior_mean(self.energy, x, self.sigma)
        with torch.no_grad():
            values = energy(x)
        up = self.below * math.sqrt(max(0.0, 1 - (self.below / self.sigma) ** 2))
        down = math.sqrt(max(0.0, self.below**2 - up**2))
        moved = clean + down / self.sigma * (x - clean)
        if up > 0:
            moved = moved + up * standard_normal_like(x, generator)
        return moved, StepInfo(values, row_norm(x - clean) / self.sigma**2)


class Ancestral:
    """Ancestral sampling over `sigmas`, strictly descending, in units of x; ends with the denoised state.

    Start it from data spread plus noise sigmas[0], which should exceed the spread of the data in every direction, or be
    carried by an energy with a Gaussian base that knows it.

    Source: Ho et al. (2020), in the variance-exploding form of Song et al. (2021); levels of Karras et al. (2022).

    Raises:
        BadConfig: the levels are not positive, finite and descending.
    """

    def __init__(self, sigmas: Sequence[float]):
        levels = tuple(float(s) for s in sigmas)
        descending = all(a > b for a, b in zip(levels, levels[1:], strict=False))
        if not levels or not descending or not all(0 < s < math.inf for s in levels):
            raise BadConfig(f"Ancestral: sigmas must be positive, finite and descending, not {levels}")
        self.sigmas = levels

    def stages(self, energy: Energy) -> list[Stage]:
        """The run as stages for `iterate` or `run_stages`."""
        pairs = zip(self.sigmas, (*self.sigmas[1:], 0.0), strict=True)
        return [Stage(AncestralStep(a, b, energy), lambda x, s=a: energy(x, sigma=s), 1) for a, b in pairs]


class AncestralConfig(Frozen):
    """`n_levels` sigmas, sigma_i = (sigma_max^(1/rho) + i / (n - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho."""

    kind: Literal["ancestral"] = "ancestral"
    sigma_min: float = Field(default=0.04, gt=0)
    sigma_max: float = Field(default=10.0, gt=0)
    n_levels: int = Field(default=40, ge=2, le=1000)
    rho: float = Field(default=7.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> AncestralConfig:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min} must be below sigma_max {self.sigma_max}")
        return self

    def build(self) -> Ancestral:
        top, bottom = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        n = self.n_levels - 1
        return Ancestral([(top + i / n * (bottom - top)) ** self.rho for i in range(self.n_levels)])
