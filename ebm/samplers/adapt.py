"""Warm-up: a step size by its rate of acceptance."""

from __future__ import annotations

import math
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Generator, Tensor

from ebm.errors import BadConfig
from ebm.types import EnergyFn, StepInfo


class Adjustable(Protocol):
    """A Metropolis-corrected sampler whose lengths can be changed: `Metropolis`, `MALA`, `HMC`."""

    @property
    def target_acceptance(self) -> float: ...

    def rescaled(self: S, length: float) -> S: ...

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]: ...


S = TypeVar("S", bound=Adjustable)


class Adapted(NamedTuple, Generic[S]):
    """sampler: with its step size tuned, fixed from here on. x: (B, ...) where the chains are. acceptance: the mean
    rate over the second half of the warm-up."""

    sampler: S
    x: Tensor
    acceptance: float


def adapt(
    sampler: S,
    energy: EnergyFn,
    x0: Tensor,
    generator: Generator,
    *,
    n_steps: int = 200,
    target: float | None = None,
) -> Adapted[S]:
    """The sampler with the step size at which all chains together accept a share `target` of their proposals.

    Robbins-Monro on the logarithm of a factor c of all lengths: log c <- log c + t^-0.6 (a_t - target) / s with a_t the
    chains' mean acceptance at step t and s = target (1 - target); the answer is the mean of log c over the second half
    (Polyak and Ruppert). The steps done here do not leave exp(-E) invariant, since c depends on the past: they are a
    warm-up, and draws count only from the returned x on, with the returned sampler.

    Args:
        sampler: where to begin; any step size that is not absurd (a factor 1000 off costs some 100 steps).
        x0: (B, ...) the starts; more chains make a steadier answer.
        target: None for the sampler's own `target_acceptance`.

    Raises:
        BadConfig: n_steps or target is out of range.

    Source: Robbins and Monro (1951); Andrieu and Thoms (2008), algorithm 4; targets: Roberts and Rosenthal (2001).
    """
    goal = sampler.target_acceptance if target is None else target
    if not 0 < goal < 1:
        raise BadConfig(f"adapt: target must lie between 0 and 1, not {target}")
    if n_steps < 2:
        raise BadConfig(f"adapt: n_steps must be at least 2, not {n_steps}")
    x, log_factor = x0.detach(), 0.0
    later: list[float] = []
    rates: list[Tensor] = []
    for t in range(1, n_steps + 1):
        x, info = sampler.rescaled(math.exp(log_factor)).step(energy, x, generator)
        if info.accepted is None:
            raise BadConfig("adapt: the sampler accepts everything; there is no rate to go by")
        rate = info.accepted.double().mean()
        log_factor += t**-0.6 * (float(rate) - goal) / (goal * (1 - goal))
        # Beyond, exp overflows: an energy without a scale, which no step size suits.
        log_factor = min(max(log_factor, -50.0), 50.0)
        if t > n_steps // 2:
            later.append(log_factor)
            rates.append(rate)
    tuned = sampler.rescaled(math.exp(sum(later) / len(later)))
    return Adapted(tuned, x, float(torch.stack(rates).mean()))
