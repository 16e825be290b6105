"""Warm-up: a step size by its rate of acceptance."""

from __future__ import annotations

import math
from typing import Generic, NamedTuple, Protocol, TypeVar

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


class Rate:
    """Robbins-Monro on the logarithm of a factor c of all lengths: log c <- log c + t^-0.6 (a_t - target) / s, with a_t
    the chains' mean acceptance at step t and s = target (1 - target)."""

    def __init__(self, target: float, log_factor: float = 0.0):
        self.target, self.log_factor, self._t = target, log_factor, 0

    def update(self, accepted: Tensor | None) -> float:
        """After each step, with its `accepted` (B,). The answer is a_t.

        Raises:
            BadConfig: the sampler accepts everything.
        """
        if accepted is None:
            raise BadConfig("adapt: the sampler accepts everything; there is no rate to go by")
        self._t += 1
        rate = float(accepted.double().mean())
        self.log_factor += self._t**-0.6 * (rate - self.target) / (self.target * (1 - self.target))
        # Beyond, exp overflows: an energy without a scale, which no step size suits.
        self.log_factor = min(max(self.log_factor, -50.0), 50.0)
        return rate


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

    The factor of its lengths is the mean of log c (`Rate`) over the second half of the steps (Polyak and Ruppert). The
    steps done here do not leave exp(-E) as it is, since c depends on the past: they are a warm-up, and draws count only
    from the returned x on, with the returned sampler.

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
    x, rate = x0.detach(), Rate(goal)
    later: list[tuple[float, float]] = []
    for i in range(n_steps):
        x, info = sampler.rescaled(math.exp(rate.log_factor)).step(energy, x, generator)
        accepted = rate.update(info.accepted)
        if i >= n_steps // 2:
            later.append((rate.log_factor, accepted))
    log_factor, acceptance = (sum(values) / len(later) for values in zip(*later, strict=True))
    return Adapted(sampler.rescaled(math.exp(log_factor)), x, acceptance)
