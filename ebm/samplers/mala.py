"""The Metropolis-adjusted Langevin algorithm."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.samplers.gradient import energy_and_gradient, row_norm, standard_normal_like
from ebm.types import EnergyFn, StepInfo


class MALA:
    """A Langevin step as a proposal, accepted so that exp(-E) is sampled exactly at any step size.

    x' = x - step_size * dE/dx(x) + sqrt(2 * step_size) * eps, taken with probability
    min(1, exp(E(x) - E(x')) q(x | x') / q(x' | x)), where log q(b | a) = -|b - a + step_size * dE/dx(a)|^2
    / (4 * step_size). A proposal whose energy is infinite or not a number is refused, so that an energy may
    be infinite outside its support. An acceptance rate near .57 mixes best. Two gradients a step: no state is
    kept between steps, hence the energy may change between them.

    Args:
        step_size: as in `Langevin`; its temperature is 1.

    Raises:
        BadConfig: step_size is not positive and finite.

    Source: Besag (1994); Roberts and Tweedie (1996).
    """

    temperature = 1.0
    target_acceptance = 0.574

    def __init__(self, step_size: float):
        if not 0 < step_size < math.inf:
            raise BadConfig(f"MALA: step_size must be positive and finite, not {step_size}")
        self.step_size = step_size

    def rescaled(self, length: float) -> MALA:
        """The same sampler with every length multiplied by `length`."""
        return MALA(self.step_size * length**2)

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        """One step of every chain: x (B, ...) -> x (B, ...), detached; the argument is not changed."""
        x = x.detach()
        values, gradient = energy_and_gradient(energy, x)
        noise = standard_normal_like(x, generator)
        proposal = x - self.step_size * gradient + math.sqrt(2 * self.step_size) * noise
        new_values, new_gradient = energy_and_gradient(energy, proposal)

        # log q(x' | x) is -|noise|^2 / 2 by construction.
        forward = -0.5 * row_norm(noise) ** 2
        back = x - proposal + self.step_size * new_gradient
        backward = -(row_norm(back) ** 2) / (4 * self.step_size)
        log_ratio = values - new_values + backward - forward
        uniform = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        # A comparison with NaN is false: such a proposal is refused.
        accepted = (uniform.log() < log_ratio) & torch.isfinite(new_values)

        moved = torch.where(accepted.view(-1, *[1] * (x.dim() - 1)), proposal, x)
        return moved, StepInfo(values, row_norm(gradient), accepted)


class MALAConfig(Frozen):
    """Settings of `MALA`."""

    kind: Literal["mala"] = "mala"
    step_size: float

    @model_validator(mode="after")
    def _can_be_built(self) -> MALAConfig:
        self.build()
        return self

    def build(self) -> MALA:
        return MALA(self.step_size)
