"""The path of energies from a Gaussian of known partition function to an energy of continuous rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Generator, Tensor

from ebm.errors import BadInput
from ebm.evaluation.ais import sigmoid_schedule
from ebm.samplers import MALA
from ebm.samplers.adapt import Adjustable, adapt
from ebm.types import EnergyFn

FULL = 512  # coordinates up to which the base has a full covariance, where there are rows enough for one


@dataclass(frozen=True, eq=False)
class GaussianBase:
    """x = mean + z L^T, z ~ N(0, I) of d coordinates; L (d, d) lower triangular, or (d,) where diagonal."""

    mean: Tensor
    factor: Tensor
    shape: tuple[int, ...]

    @classmethod
    def fit(cls, x: Tensor, shrink: float = 0.0) -> GaussianBase:
        """Mean and covariance of rows x (N, ...): full with at least 5 rows a coordinate, else diagonal. A variance
        below 1e-4 of the mean one is raised to it, and covariances are taken times 1 - shrink."""
        rows = x.flatten(1).double()
        if len(rows) < 2:
            raise BadInput(f"a Gaussian base needs at least 2 rows, got {len(rows)}")
        d, floor = rows.shape[1], (1e-4 * rows.var(0).mean()).clamp_min(1e-8)
        if len(rows) >= 5 * d and d <= FULL:
            covariance = torch.cov(rows.T).reshape(d, d)
            covariance = (1 - shrink) * covariance + shrink * covariance.diagonal().diag()
            values, vectors = torch.linalg.eigh(covariance)
            factor = torch.linalg.cholesky((vectors * values.clamp_min(floor)) @ vectors.T)
        else:
            factor = rows.var(0).clamp_min(floor).sqrt()
        return cls(rows.mean(0).to(x), factor.to(x), tuple(x.shape[1:]))

    @classmethod
    def diagonal(cls, mean: Tensor, sd: Tensor) -> GaussianBase:
        """Of mean and standard deviations, both (...) like one row."""
        return cls(mean.flatten(), sd.flatten().clamp_min(1e-4), tuple(mean.shape))

    @property
    def log_volume(self) -> float:
        """log |det L|: log Z in x is log Z in z plus this."""
        diagonal = self.factor if self.factor.dim() == 1 else self.factor.diagonal()
        return float(diagonal.double().log().sum())

    def to_rows(self, z: Tensor) -> Tensor:
        """z (n, d) -> x (n, *shape)."""
        scaled = z * self.factor if self.factor.dim() == 1 else z @ self.factor.T
        return (self.mean + scaled).reshape(len(z), *self.shape)

    def to_normal(self, x: Tensor) -> Tensor:
        """x (n, *shape) -> z (n, d)."""
        centred = x.flatten(1).to(self.mean) - self.mean
        if self.factor.dim() == 1:
            return centred / self.factor
        return torch.linalg.solve_triangular(self.factor, centred.T, upper=False).T


@dataclass(eq=False)
class GaussianPath:
    """E_beta(z) = (1 - beta) |z|^2 / 2 + beta E(x(z)) in the coordinates z in which the base is N(0, I).

    There one step length fits all directions where the base's covariance is near the model's. `tune` finds it for each
    part of the way, and the temperatures. It runs chains of its own, which are then thrown away: what is tuned does not
    depend on the chains that are weighted, so that the weights stay unbiased.

    Args:
        energy_of_rows: x (n, ...) -> (n,).
        base: see `GaussianBase`.
        sampler: with a Metropolis correction (without one the moves would bias the weights); MALA, HMC, Metropolis.
        n_moves: steps of the sampler at each temperature.
    """

    energy_of_rows: EnergyFn
    base: GaussianBase
    sampler: Adjustable = field(default_factory=lambda: MALA(0.1))
    n_moves: int = 1

    def __post_init__(self) -> None:
        self.log_z_base = 0.5 * len(self.base.mean) * math.log(2 * math.pi) + self.base.log_volume
        self.reversible, self.grid, self.samplers = True, np.array([1.0]), [self.sampler]
        self.length = math.inf

    def start(self, n: int, generator: Generator) -> Tensor:
        mean = self.base.mean
        return torch.randn((n, len(mean)), generator=generator, dtype=mean.dtype, device=mean.device)

    def enter(self, rows: Tensor) -> Tensor:
        return self.base.to_normal(rows)

    def energy(self, beta: float) -> EnergyFn:
        def at(z: Tensor, /) -> Tensor:
            return (1 - beta) * 0.5 * z.square().sum(1) + beta * self.energy_of_rows(self.base.to_rows(z))

        return at

    def change(self, x: Tensor, a: float, b: float) -> Tensor:
        own, of_rows = 0.5 * x.square().sum(1), self.energy_of_rows(self.base.to_rows(x))
        return (b - a) * (own.double() - of_rows.double())

    def move(self, beta: float, x: Tensor, generator: Generator) -> Tensor:
        sampler = self.samplers[int(np.searchsorted(self.grid[:-1], beta))]
        for _ in range(self.n_moves):
            x, info = sampler.step(self.energy(beta), x, generator)
            if info.accepted is None:
                raise BadInput("the sampler has no Metropolis correction: its moves would bias log Z")
        return x

    def tune(
        self,
        n_temperatures: int,
        generator: Generator,
        *,
        n_chains: int = 32,
        n_grid: int = 30,
        n_steps: int = 20,
    ) -> np.ndarray:
        """Fit the sampler's lengths to its target acceptance at `n_grid` places of the way (`adapt`), and return
        temperatures (n_temperatures + 1,) spaced in proportion to the spread of dE_beta / dbeta, which shares the
        variance of the log weights evenly (the thermodynamic length; Gelman and Meng 1998); a fifth of them evenly.
        `length` is then the length of the whole way: the shorter, the sharper."""
        grid = sigmoid_schedule(n_grid)
        z, sampler = self.start(n_chains, generator), self.sampler
        samplers, spreads = [], []
        for beta in grid[1:]:
            sampler, z, _ = adapt(sampler, self.energy(float(beta)), z, generator, n_steps=n_steps)
            samplers.append(sampler)
            with torch.no_grad():
                slope = self.change(z, 0.0, 1.0)
            spreads.append(_spread(slope[torch.isfinite(slope)]))
        self.grid, self.samplers = grid[1:], samplers
        self.length = float((np.array(spreads) * np.diff(grid)).sum())
        return _spaced(grid, np.array(spreads), n_temperatures)


def fit_to_model(
    energy: EnergyFn,
    base: GaussianBase,
    generator: Generator,
    *,
    sampler: Adjustable | None = None,
    n_rounds: int = 2,
    n_chains: int = 64,
    n_moves: int = 100,
) -> GaussianBase:
    """A base fitted to the model, not the data: chains go from `base` to the energy, stay there for `n_moves`, and
    their mean and covariance make the next base, `n_rounds` times over.

    A base much narrower than the model (tempered energies are wide) needs very many temperatures. These chains are
    thrown away, like those of `GaussianPath.tune`; a poor base costs sharpness, never correctness. Of `base` and the
    new ones the answer is that with the shortest way to the model.
    """
    best, shortest = base, math.inf
    for _ in range(n_rounds):
        path = GaussianPath(energy, base, sampler or MALA(0.1))
        path.tune(2, generator, n_chains=n_chains, n_grid=10, n_steps=10)
        if path.length < shortest:
            best, shortest = base, path.length
        z = path.start(n_chains, generator)
        for beta in sigmoid_schedule(n_moves // 4)[1:]:
            z = path.move(float(beta), z, generator)
        seen = []
        for i in range(n_moves):
            z = path.move(1.0, z, generator)
            if i >= n_moves // 2 and i % 5 == 0:
                seen.append(base.to_rows(z))
        base = GaussianBase.fit(torch.cat(seen), shrink=0.2)
    last = GaussianPath(energy, base, sampler or MALA(0.1))
    last.tune(2, generator, n_chains=n_chains, n_grid=10, n_steps=10)
    return base if last.length < shortest else best


def _spread(values: Tensor) -> float:
    if len(values) < 4:
        return 0.0
    low, high = np.quantile(values.cpu().numpy(), [0.25, 0.75])
    return float(high - low) / 1.35  # not the sd: a few chains far out would take all the temperatures


def _spaced(grid: np.ndarray, spreads: np.ndarray, n: int) -> np.ndarray:
    length = spreads * np.diff(grid)
    share = length / length.sum() if length.sum() > 0 else np.full(len(length), 1 / len(length))
    share = 0.8 * share + 0.1 * np.diff(grid) + 0.1 / len(share)
    at = np.concatenate([[0.0], np.cumsum(share)])
    betas = np.interp(np.linspace(0, 1, n + 1), at / at[-1], grid)
    betas[0], betas[-1] = 0.0, 1.0
    return betas
