"""Replica exchange: hot copies of the chains cross between modes and hand their places down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.samplers.gradient import energy_values
from ebm.samplers.hmc import HMCConfig
from ebm.samplers.langevin import LangevinConfig
from ebm.samplers.mala import MALAConfig
from ebm.samplers.metropolis import MetropolisConfig
from ebm.samplers.run import Stage
from ebm.types import EnergyFn, Sampler, StepInfo

KernelConfig = Annotated[
    LangevinConfig | MALAConfig | MetropolisConfig | HMCConfig, Field(discriminator="kind")
]


class Ladder:
    """The replicas of one run: the chains that are handed in and out sample exp(-E), and K - 1 copies of each, kept
    here, sample exp(-E / T_k). All start where the first ones do.

    A step moves every replica by one step of the kernel, at temperature T with its lengths multiplied by sqrt(T); after
    every `swap_every` steps neighbours exchange their places with probability
    min(1, exp((1 / T_k - 1 / T_k+1) (E(x_k) - E(x_k+1)))), even and odd pairs in turn.
    """

    def __init__(self, kernel: Sampler, temperatures: Sequence[float], swap_every: int):
        self.kernel, self.temperatures, self.swap_every = kernel, tuple(temperatures), swap_every
        self._hot: Tensor | None = None  # ((K - 1) B, ...)
        self._steps = self._rounds = 0
        self._tried = [0] * (len(self.temperatures) - 1)
        self._taken: list[Tensor | int] = [0] * (len(self.temperatures) - 1)

    @property
    def swap_rates(self) -> tuple[float, ...]:
        """The share of exchanges accepted between each pair of neighbours, coldest first; NaN where none was tried.
        Near .2 or above at every pair, or the ladder has a gap."""
        return tuple(
            float(taken) / tried if tried else math.nan
            for taken, tried in zip(self._taken, self._tried, strict=True)
        )

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        """One step of all replicas: x (B, ...), the cold chains -> x (B, ...), detached, and what happened to them."""
        x, n, levels = x.detach(), len(x), len(self.temperatures)
        if self._hot is None:
            self._hot = x.repeat(levels - 1, *[1] * (x.dim() - 1))
        every = torch.cat([x, self._hot])
        # In coordinates z = x / sqrt(T) one kernel moves all replicas at once, each with steps of its own length.
        with torch.inference_mode(False):  # for the kernel differentiates through both
            heat = torch.tensor(self.temperatures, dtype=x.dtype, device=x.device).repeat_interleave(n)
            length = heat.sqrt().view(-1, *[1] * (x.dim() - 1))
        z, info = self.kernel.step(lambda z: energy(z * length) / heat, every / length, generator)
        every = z * length
        self._steps += 1
        if self._steps % self.swap_every == 0:
            every = self._exchange(energy, every.view(levels, n, *x.shape[1:]), generator).flatten(0, 1)
        self._hot = every[n:]
        accepted = None if info.accepted is None else info.accepted[:n]
        return every[:n], StepInfo(info.energy[:n], info.gradient_norm[:n], accepted)

    def _exchange(self, energy: EnergyFn, every: Tensor, generator: Generator) -> Tensor:
        """every (K, B, ...), with neighbours exchanged where that was accepted."""
        levels, n = every.shape[:2]
        values = energy_values(energy, every.flatten(0, 1)).view(levels, n)
        first = self._rounds % 2 if levels > 2 else 0
        self._rounds += 1
        for k in range(first, levels - 1, 2):
            colder, hotter = self.temperatures[k : k + 2]
            uniform = torch.rand(n, generator=generator, dtype=values.dtype, device=values.device)
            # NaN, of two infinite energies, compares false: they stay.
            taken = uniform.log() < (1 / colder - 1 / hotter) * (values[k] - values[k + 1])
            mask = taken.view(-1, *[1] * (every.dim() - 2))
            below, above = every[k], every[k + 1]
            every = every.clone()
            every[k], every[k + 1] = torch.where(mask, above, below), torch.where(mask, below, above)
            self._tried[k] += n
            self._taken[k] = self._taken[k] + taken.sum()
        return every


class ReplicaExchange:
    """Parallel tempering with `kernel` at `temperatures`, coldest first; see `Ladder` for the equations.

    Samples exp(-E) exactly where the kernel is exact. Crosses barriers that the kernel cannot, of height about T_K at
    the hottest, for K times the energy evaluations; the energy must still confine the chains at the hottest.

    Args:
        kernel: any sampler that samples exp(-E) and has `rescaled`.
        temperatures: from 1, ascending. In geometric progression the exchange rates are alike where the heat capacity
            is constant; about sqrt(d) levels for each factor e keep them near .3 to .5.
        swap_every: steps between attempts.

    Raises:
        BadConfig: an argument is out of range.

    Source: Swendsen and Wang (1986); Geyer (1991); even and odd pairs in turn: Okabe et al. (2001).
    """

    def __init__(self, kernel: Sampler, temperatures: Sequence[float], swap_every: int = 5):
        levels = tuple(float(t) for t in temperatures)
        ascending = all(a < b for a, b in zip(levels, levels[1:], strict=False))
        if len(levels) < 2 or levels[0] != 1 or not ascending or not levels[-1] < math.inf:
            raise BadConfig(f"ReplicaExchange: temperatures must ascend from 1, two or more, not {levels}")
        if swap_every < 1:
            raise BadConfig(f"ReplicaExchange: swap_every must be at least 1, not {swap_every}")
        if (
            not math.isclose(getattr(kernel, "temperature", 1.0), 1.0)
            or getattr(kernel, "box", None) is not None
        ):
            raise BadConfig("ReplicaExchange: its sampler must have temperature 1 and no box")
        if getattr(kernel, "clip", None) is not None:
            raise BadConfig("ReplicaExchange: its sampler must not clip gradients")
        self.kernel, self.temperatures, self.swap_every = kernel, levels, swap_every

    def ladder(self) -> Ladder:
        """The replicas of a new run."""
        return Ladder(self.kernel, self.temperatures, self.swap_every)

    def stages(self, energy: EnergyFn, n_steps: int) -> list[Stage]:
        """A run of n_steps as stages for `iterate` or `run_stages`, to be used once: it holds the hot replicas. The
        exchange rates are at its sampler's `swap_rates`."""
        return [Stage(self.ladder(), energy, n_steps)]


class ReplicaExchangeConfig(Frozen):
    """`n_temperatures` from 1 to `max_temperature` in geometric progression, and the `sampler` that moves each."""

    kind: Literal["replica_exchange"] = "replica_exchange"
    sampler: KernelConfig
    n_temperatures: int = Field(default=6, ge=2, le=100)
    max_temperature: float = Field(default=20.0, gt=1)
    swap_every: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _can_be_built(self) -> ReplicaExchangeConfig:
        self.build()
        return self

    @property
    def step_size(self) -> float:
        """That of the coldest chains, in the units of the inner sampler."""
        return self.sampler.step_size

    def build(self) -> ReplicaExchange:
        n = self.n_temperatures - 1
        temperatures = [self.max_temperature ** (k / n) for k in range(n + 1)]
        return ReplicaExchange(self.sampler.build(), temperatures, self.swap_every)
