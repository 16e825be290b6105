"""Hamiltonian Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.samplers.gradient import energy_and_gradient, row_norm, standard_normal_like
from ebm.types import EnergyFn, StepInfo

MAX_ERROR = 1000.0  # of H along a trajectory: beyond it the integration has diverged (as in Stan)

ValueAndGradient = Callable[[Tensor], tuple[Tensor, Tensor]]


def leapfrog(
    value_and_gradient: ValueAndGradient,
    x: Tensor,
    p: Tensor,
    gradient: Tensor,
    step: Tensor | float,
    n: int,
    mass: Tensor | float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """n leapfrog steps of dx/dt = p / m, dp/dt = -dE/dx: half a step of p, then x and p in turns, half a step of p.

    Reversible (with -p it runs back to the start), preserves volume, and its error of H is of the order of step^2.

    Args:
        value_and_gradient: x -> E(x) (B,), dE/dx (B, ...).
        x, p, gradient: position, momentum and dE/dx at x, all (B, ...).
        step: of time, a number or (B, 1, ...).
        mass: m, a number or of one row's shape.

    Returns:
        x, p and E(x) at the end.
    """
    values = gradient.new_zeros(len(x))
    p = p - 0.5 * step * gradient
    for i in range(n):
        x = x + step * p / mass
        values, gradient = value_and_gradient(x)
        p = p - (step if i < n - 1 else 0.5 * step) * gradient
    return x, p, values


class HMC:
    """A trajectory of H(x, p) = E(x) + sum_j p_j^2 / (2 m_j) from a fresh p ~ N(0, M), by `n_leapfrog` steps of size
    `step_size`, taken with probability min(1, exp(H(x, p) - H(x', p'))).

    Samples exp(-E) exactly at any step size. One step of the sampler is one trajectory, of n_leapfrog + 1 gradients; it
    moves in one direction for step_size * n_leapfrog, where a random walk would take the square of as many steps. With
    one leapfrog step it is MALA of step_size^2 / 2. A trajectory whose H rises by more than 1000, or is not finite at
    its end, has diverged and is refused: hence an energy may be infinite outside its support. An acceptance near .65
    is best in high dimension.

    Args:
        step_size: of time, in units of x where the mass is 1; stable below 2 / sqrt(the largest curvature / mass).
        n_leapfrog: steps of a trajectory, at least 1.
        jitter: in [0, 1): the step size of each chain and trajectory is uniform in step_size * (1 -+ jitter), so that
            no trajectory is caught in a period of the energy.
        mass: diagonal of M, of one row's shape (or flat); None for ones. Best: 1 / variance of each coordinate.

    Raises:
        BadConfig: an argument is out of range; at the first step, a mass that does not fit x.

    Source: Duane et al. (1987); Neal (2011); the rate of acceptance: Beskos et al. (2013).
    """

    temperature = 1.0
    target_acceptance = 0.65

    def __init__(
        self,
        step_size: float,
        n_leapfrog: int = 10,
        jitter: float = 0.0,
        mass: Sequence[float] | Tensor | None = None,
    ):
        if not 0 < step_size < math.inf:
            raise BadConfig(f"HMC: step_size must be positive and finite, not {step_size}")
        if n_leapfrog < 1:
            raise BadConfig(f"HMC: n_leapfrog must be at least 1, not {n_leapfrog}")
        if not 0 <= jitter < 1:
            raise BadConfig(f"HMC: jitter must lie in [0, 1), not {jitter}")
        self.mass = None if mass is None else torch.as_tensor(mass).detach()
        if self.mass is not None and not bool(((self.mass > 0) & self.mass.isfinite()).all()):
            raise BadConfig("HMC: mass must be positive and finite in every coordinate")
        self.step_size, self.n_leapfrog, self.jitter = step_size, n_leapfrog, jitter

    def rescaled(self, length: float) -> HMC:
        """The same sampler with every length multiplied by `length`: as many leapfrog steps, each so much longer."""
        return HMC(self.step_size * length, self.n_leapfrog, self.jitter, self.mass)

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        """One trajectory of every chain: x (B, ...) -> x (B, ...), detached; the argument is not changed."""
        x = x.detach()
        mass = self._mass_for(x)
        values, gradient = energy_and_gradient(energy, x)
        p = torch.as_tensor(mass).sqrt() * standard_normal_like(x, generator)
        step: Tensor | float = self.step_size
        if self.jitter:
            uniform = torch.rand(
                (len(x), *[1] * (x.dim() - 1)), generator=generator, dtype=x.dtype, device=x.device
            )
            step = self.step_size * (1 + self.jitter * (2 * uniform - 1))
        proposal, new_p, new_values = leapfrog(
            lambda x: energy_and_gradient(energy, x), x, p, gradient, step, self.n_leapfrog, mass
        )
        log_ratio = values - new_values + _kinetic(p, mass) - _kinetic(new_p, mass)
        uniform = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        # Comparisons with NaN are false: such a proposal is refused.
        accepted = (uniform.log() < log_ratio) & (log_ratio > -MAX_ERROR) & torch.isfinite(new_values)
        moved = torch.where(accepted.view(-1, *[1] * (x.dim() - 1)), proposal, x)
        return moved, StepInfo(values, row_norm(gradient), accepted)

    def _mass_for(self, x: Tensor) -> Tensor | float:
        if self.mass is None:
            return 1.0
        shape = x.shape[1:]
        if self.mass.numel() != math.prod(shape):
            raise BadConfig(f"HMC: mass has {self.mass.numel()} entries, a row {math.prod(shape)}")
        return self.mass.to(x).reshape(shape)


def _kinetic(p: Tensor, mass: Tensor | float) -> Tensor:
    """sum_j p_j^2 / (2 m_j), (B,)."""
    return 0.5 * (p.square() / mass).flatten(1).sum(dim=1)


class HMCConfig(Frozen):
    """Settings of `HMC`; `mass` flat, one number for each preprocessed coordinate."""

    kind: Literal["hmc"] = "hmc"
    step_size: float
    n_leapfrog: int = Field(default=10, ge=1, le=1000)
    jitter: float = Field(default=0.2, ge=0, lt=1)
    mass: tuple[float, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _can_be_built(self) -> HMCConfig:
        self.build()
        return self

    def build(self) -> HMC:
        return HMC(self.step_size, self.n_leapfrog, self.jitter, self.mass)
