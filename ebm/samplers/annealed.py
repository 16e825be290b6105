"""Annealed Langevin dynamics over the noise levels of a noise-conditional energy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.samplers.langevin import Langevin
from ebm.samplers.run import OnStep, RunResult, ShouldStop, Stage, run_stages
from ebm.types import Energy, EnergyFn


class AnnealedLangevin:
    """Langevin on E(., sigma_1), then E(., sigma_2), ..., from the most smoothed to the least.

    At level k: x <- x - a_k * dE/dx(x, sigma_k) + sqrt(2 * a_k * temperature) * eps, a_k = step_size *
    sigma_k^2. The curvature of a smoothed energy is at most 1 / sigma^2 for the noise's own part, hence a
    step_size below 1 or so is stable at every level. Last, where `denoise_last`, the posterior mean at the
    smallest noise: x <- x - sigma_K^2 * dE/dx(x, sigma_K).

    Args:
        sigmas: noise levels, strictly descending, in units of x.
        step_size: relative to sigma^2, without units. Song and Ermon's eps / (2 * sigma_K^2) in their words.
        n_steps_per_level: steps at each level.
        temperature: below 1 for samples nearer to the modes.
        denoise_last: add the final step of denoising.
        box: (low, high) to clamp to after every step; None for no box.

    Raises:
        BadConfig: an argument is out of range.

    Source: Song and Ermon (2019), algorithm 1; the last step: Jolicoeur-Martineau et al. (2020).
    """

    def __init__(
        self,
        sigmas: Sequence[float],
        step_size: float,
        n_steps_per_level: int,
        temperature: float = 1.0,
        denoise_last: bool = True,
        box: tuple[float, float] | None = None,
    ):
        levels = tuple(float(sigma) for sigma in sigmas)
        if not levels or not all(0 < sigma < math.inf for sigma in levels):
            raise BadConfig(f"AnnealedLangevin: sigmas must be positive and finite, not {levels}")
        if any(b >= a for a, b in zip(levels, levels[1:], strict=False)):
            raise BadConfig(f"AnnealedLangevin: sigmas must descend, not {levels}")
        if not 0 <= temperature < math.inf:
            raise BadConfig(f"AnnealedLangevin: temperature must be at least 0, not {temperature}")
        if n_steps_per_level < 1:
            raise BadConfig(
                f"AnnealedLangevin: n_steps_per_level must be at least 1, not {n_steps_per_level}"
            )
        if not 0 < step_size < math.inf:
            raise BadConfig(f"AnnealedLangevin: step_size must be positive and finite, not {step_size}")
        self.sigmas = levels
        self.step_size = step_size
        self.n_steps_per_level = n_steps_per_level
        self.temperature = temperature
        self.denoise_last = denoise_last
        self.box = box

    @property
    def n_steps(self) -> int:
        """The steps of a whole run, the last one of denoising among them."""
        return len(self.sigmas) * self.n_steps_per_level + self.denoise_last

    def stages(self, energy: Energy) -> list[Stage]:
        """The run as stages for `iterate` or `run_stages`; energy is noise-conditional, E(x, sigma)."""
        stages = []
        for sigma in self.sigmas:
            step_size = self.step_size * sigma**2
            noise_scale = math.sqrt(2 * step_size * self.temperature)
            sampler = Langevin(step_size, noise_scale, box=self.box)
            stages.append(Stage(sampler, at_sigma(energy, sigma), self.n_steps_per_level))
        if self.denoise_last:
            last = self.sigmas[-1]
            descent = Langevin(last**2, noise_scale=0.0, box=self.box)
            stages.append(Stage(descent, at_sigma(energy, last), 1))
        return stages


def at_sigma(energy: Energy, sigma: float) -> EnergyFn:
    """E(., sigma) as a function of x alone."""
    return lambda x: energy(x, sigma)


def anneal(
    sampler: AnnealedLangevin,
    energy: Energy,
    x0: Tensor,
    generator: Generator,
    *,
    keep_every: int = 0,
    on_step: OnStep | None = None,
    should_stop: ShouldStop | None = None,
) -> RunResult:
    """A whole annealed run from x0 (B, ...), best drawn as sigmas[0] * N(0, I). The rest is as in `run`."""
    stages = sampler.stages(energy)
    return run_stages(stages, x0, generator, keep_every=keep_every, on_step=on_step, should_stop=should_stop)


class AnnealedLangevinConfig(Frozen):
    """Settings of `AnnealedLangevin`, with n_levels sigmas in geometric progression."""

    kind: Literal["annealed_langevin"] = "annealed_langevin"
    sigma_min: float = Field(gt=0)
    sigma_max: float = Field(gt=0)
    n_levels: int = Field(ge=1)
    step_size: float = 0.1
    n_steps_per_level: int = 10
    temperature: float = 1.0
    denoise_last: bool = True
    box: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _can_be_built(self) -> AnnealedLangevinConfig:
        if self.n_levels > 1 and self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min} must be below sigma_max {self.sigma_max}")
        self.build().stages(lambda x, sigma=None: x)  # the samplers check what they are given
        return self

    def build(self) -> AnnealedLangevin:
        sigmas = [float(s) for s in np.geomspace(self.sigma_max, self.sigma_min, self.n_levels)]
        return AnnealedLangevin(
            sigmas, self.step_size, self.n_steps_per_level, self.temperature, self.denoise_last, self.box
        )
