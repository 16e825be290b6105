"""The random-walk Metropolis algorithm: no gradients."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.samplers.gradient import energy_values, standard_normal_like
from ebm.types import EnergyFn, StepInfo


class Metropolis:
    """x' = x + step_size * eps, eps ~ N(0, I), taken with probability min(1, exp(E(x) - E(x'))).

    Samples exp(-E) exactly at any step size. The proposal is symmetric, so that Hastings' ratio of proposals is 1. No
    gradient is asked for: it works for energies that have none, that are flat in pieces, or infinite outside their
    support, and pays for it in dimension: the best step shrinks as 1 / sqrt(d), and mixing takes of the order of d
    steps (MALA: d^(1/3), HMC: d^(1/4)). An acceptance near .23 mixes best where d is large, .44 at d = 1.

    Args:
        step_size: sd of the proposal, in units of x.

    Raises:
        BadConfig: step_size is not positive and finite.

    Source: Metropolis et al. (1953); Hastings (1970); the rates of acceptance: Roberts, Gelman and Gilks (1997).
    """

    temperature = 1.0
    target_acceptance = 0.234

    def __init__(self, step_size: float):
        if not 0 < step_size < math.inf:
            raise BadConfig(f"Metropolis: step_size must be positive and finite, not {step_size}")
        self.step_size = step_size

    def rescaled(self, length: float) -> Metropolis:
        """The same walk with every length multiplied by `length`."""
        return Metropolis(self.step_size * length)

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        """One step of every chain: x (B, ...) -> x (B, ...), detached; the argument is not changed. The gradient norms
        reported are zeros."""
        x = x.detach()
        values = energy_values(energy, x)
        proposal = x + self.step_size * standard_normal_like(x, generator)
        new_values = energy_values(energy, proposal)
        uniform = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        # A comparison with NaN is false: such a proposal is refused.
        accepted = (uniform.log() < values - new_values) & torch.isfinite(new_values)
        moved = torch.where(accepted.view(-1, *[1] * (x.dim() - 1)), proposal, x)
        return moved, StepInfo(values, torch.zeros_like(values), accepted)


class MetropolisConfig(Frozen):
    """Settings of `Metropolis`."""

    kind: Literal["metropolis"] = "metropolis"
    step_size: float

    @model_validator(mode="after")
    def _can_be_built(self) -> MetropolisConfig:
        self.build()
        return self

    def build(self) -> Metropolis:
        return Metropolis(self.step_size)
