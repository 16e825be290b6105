"""Samplers with one mistake each, such as are made: what a test of exactness must find."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ebm.samplers import HMC, MALA, Metropolis
from ebm.samplers.gradient import energy_and_gradient, energy_values, row_norm, standard_normal_like
from ebm.samplers.hmc import leapfrog
from ebm.types import EnergyFn, StepInfo


class NoProposalRatio(MALA):
    """Accepts by the energies alone, as if the proposal were symmetric."""

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        values, gradient = energy_and_gradient(energy, x)
        noise = standard_normal_like(x, generator)
        proposal = x - self.step_size * gradient + math.sqrt(2 * self.step_size) * noise
        accepted = _toss(values - energy_values(energy, proposal), generator)
        return torch.where(accepted[:, None], proposal, x), StepInfo(values, row_norm(gradient), accepted)


class WrongSign(Metropolis):
    """Uphill is free, downhill is paid for."""

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        values = energy_values(energy, x)
        proposal = x + self.step_size * standard_normal_like(x, generator)
        accepted = _toss(energy_values(energy, proposal) - values, generator)
        return torch.where(accepted[:, None], proposal, x), StepInfo(values, torch.zeros(len(x)), accepted)


class NoKineticEnergy(HMC):
    """Accepts by the potential energy alone."""

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        values, gradient = energy_and_gradient(energy, x)
        p = standard_normal_like(x, generator)
        way = x, p, gradient, self.step_size, self.n_leapfrog
        proposal, _, new_values = leapfrog(lambda x: energy_and_gradient(energy, x), *way)
        accepted = _toss(values - new_values, generator)
        return torch.where(accepted[:, None], proposal, x), StepInfo(values, row_norm(gradient), accepted)


def _toss(log_ratio: Tensor, generator: Generator) -> Tensor:
    return torch.rand(len(log_ratio), generator=generator).log() < log_ratio
