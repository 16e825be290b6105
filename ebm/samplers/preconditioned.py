"""Preconditioning: coordinates in which the chains are as wide in every direction, learnt while they warm up."""

from __future__ import annotations

import math
from typing import Annotated, Any, Generic, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.samplers.adapt import Rate, S
from ebm.samplers.hmc import HMCConfig
from ebm.samplers.mala import MALAConfig
from ebm.samplers.metropolis import MetropolisConfig
from ebm.samplers.run import Stage
from ebm.types import EnergyFn, StepInfo

Covariance = Literal["full", "diagonal"]
CorrectedConfig = Annotated[MALAConfig | MetropolisConfig | HMCConfig, Field(discriminator="kind")]

WINDOWS = (
    0.1,
    0.25,
    0.5,
    0.75,
)  # of the warm-up: where the covariance is learnt anew, of the draws since the last
PRIOR_DRAWS, PRIOR_VARIANCE = 5, 1e-3  # what the covariance is shrunk by, as in Stan


class WarmUp(Generic[S]):
    """Moves the chains of one run, learns the factor L of their covariance L L^T and the kernel's step size, and is
    then `fixed`. The coordinates are z = L^-1 x."""

    def __init__(self, kernel: S, covariance: Covariance, n_steps: int):
        self.kernel, self.covariance = kernel, covariance
        self.ends = {max(2, round(share * n_steps)) for share in WINDOWS} if n_steps else set()
        self.rate = Rate(kernel.target_acceptance)
        self.factor: Tensor | None = None  # (d, d), lower triangular
        self._done, self._draws = 0, 0
        self._sums: tuple[Tensor, Tensor] | None = None

    @property
    def tuned(self) -> S:
        """The kernel, in coordinates z, as it is now."""
        return self.kernel.rescaled(math.exp(self.rate.log_factor))

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        """One step of every chain: x (B, ...) -> x (B, ...), detached, and what it taught."""
        x, info = self.move(energy, x, generator)
        self.rate.update(info.accepted)
        self._done += 1
        self._remember(x.flatten(1).double())
        if self._done in self.ends:
            self._learn(x)
        return x, info

    def move(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        """A step of the kernel as it is now. The gradient's norm is that of dE/dz."""
        x, factor = x.detach(), self.factor
        if factor is None:
            return self.tuned.step(energy, x, generator)
        with torch.inference_mode(False):
            factor = factor.clone() if factor.is_inference() else factor
        z = torch.linalg.solve_triangular(factor, x.flatten(1).T, upper=False).T
        z, info = self.tuned.step(lambda z: energy((z @ factor.T).view_as(x)), z, generator)
        assert info.accepted is not None
        # Where it is refused the chain stays exactly, without the rounding of the way there and back.
        mask = info.accepted.view(-1, *[1] * (x.dim() - 1))
        return torch.where(mask, (z @ factor.T).view_as(x), x), info

    def _remember(self, flat: Tensor) -> None:
        products = flat.T @ flat if self.covariance == "full" else flat.square().sum(0)
        sums = flat.sum(0), products
        self._sums = sums if self._sums is None else (self._sums[0] + sums[0], self._sums[1] + sums[1])
        self._draws += len(flat)

    def _learn(self, x: Tensor) -> None:
        """L from the draws since the last time, which are then forgotten."""
        assert self._sums is not None
        n, (total, products) = self._draws, self._sums
        mean = total / n
        if self.covariance == "full":
            spread = products / n - mean[:, None] * mean
        else:
            spread = torch.diag((products / n - mean.square()).clamp_min(0))
        prior = torch.eye(len(mean)).to(spread) * PRIOR_VARIANCE
        spread = (n * spread + PRIOR_DRAWS * prior) / (n + PRIOR_DRAWS)
        factor, failed = torch.linalg.cholesky_ex(spread)
        self._draws, self._sums = 0, None
        if int(failed) or not bool(torch.isfinite(factor).all()):
            return  # chains that ran away, or stand still: the old coordinates, until the next window
        old = torch.eye(len(mean)).to(factor) if self.factor is None else self.factor.to(factor)
        change = torch.linalg.solve_triangular(old, factor, upper=False)
        # The step was as long as the narrowest direction allows, whose sd is 1 from now on.
        narrowest = float(torch.linalg.svdvals(change)[-1])
        self.rate = Rate(self.rate.target, self.rate.log_factor - math.log(narrowest))
        self.factor = factor.to(x)

    @property
    def fixed(self) -> Fixed:
        """A sampler that moves as this one does at the end of the warm-up, and learns nothing."""
        return Fixed(self)


class Fixed:
    """What `WarmUp` has learnt when the first draw counts, unchanged from then on."""

    def __init__(self, warm: WarmUp[Any]):
        self._warm = warm

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        """One step of every chain: x (B, ...) -> x (B, ...), detached; the argument is not changed."""
        return self._warm.move(energy, x, generator)


class Preconditioned(Generic[S]):
    """`kernel` in coordinates z = L^-1 x, L L^T the covariance of the chains in the warm-up: E'(z) = E(L z).

    A linear change of coordinates leaves exp(-E) sampled as exactly as the kernel does, and costs d^2 a row. An energy
    whose directions differ in width by a factor r makes the kernel's steps as short as the narrowest one asks, and its
    way through the widest r^2 (random walks) or r (HMC) times as long; in z all are as wide. The warm-up of `n_warmup`
    steps also tunes the step size to the kernel's best acceptance; what it learns is fixed before the first step that
    counts. It helps no energy whose widths differ from place to place, and cannot cross to modes it has not seen.

    Args:
        kernel: Metropolis-corrected, with `rescaled`: `MALA`, `Metropolis` or `HMC` without a mass; its step size is
            where the warm-up begins.
        covariance: `full`, or `diagonal` for a scale of each coordinate only (d beyond some thousand).

    Raises:
        BadConfig: an argument is out of range.

    Source: Haario, Saksman and Tamminen (2001), adaptive covariance; Roberts and Stramer (2002), MALA with one;
    windows: Carpenter et al. (2017), as in Stan. Chains pool their draws.
    """

    def __init__(self, kernel: S, covariance: Covariance = "full", n_warmup: int = 500):
        if n_warmup < 20:
            raise BadConfig(f"Preconditioned: n_warmup must be at least 20, not {n_warmup}")
        if getattr(kernel, "target_acceptance", None) is None:
            raise BadConfig("Preconditioned: its sampler must have a Metropolis correction")
        if getattr(kernel, "mass", None) is not None:
            raise BadConfig("Preconditioned: its sampler must have no mass of its own")
        self.kernel, self.n_warmup = kernel, n_warmup
        self.covariance: Covariance = covariance

    def stages(self, energy: EnergyFn, n_steps: int) -> list[Stage]:
        """The warm-up and n_steps that count, for `iterate` or `run_stages`, to be used once."""
        warm = WarmUp(self.kernel, self.covariance, self.n_warmup)
        return [Stage(warm, energy, self.n_warmup), Stage(warm.fixed, energy, n_steps)]


class PreconditionedConfig(Frozen):
    """Settings of `Preconditioned`; the inner `sampler`'s step size is where the warm-up begins."""

    kind: Literal["preconditioned"] = "preconditioned"
    sampler: CorrectedConfig
    covariance: Covariance = "full"
    n_warmup: int = Field(default=500, ge=20)

    @property
    def step_size(self) -> float:
        """That of the inner sampler."""
        return self.sampler.step_size

    def build(self) -> Preconditioned[Any]:
        return Preconditioned(self.sampler.build(), self.covariance, self.n_warmup)
