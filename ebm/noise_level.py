"""How much noise a row has, by what a noise-conditional energy or a denoiser says of it at each of several levels."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ebm.samplers.posterior import Denoiser, posterior_mean
from ebm.types import Energy

SIGMA_GRID = tuple(float(s) for s in torch.logspace(math.log10(0.05), math.log10(1.5), 18))
MAX_ROWS = 512  # held-out rows that say what is usual at each level: more tell no more
PART = 128


def level_offsets(energy: Energy, clean: Tensor, generator: Generator) -> Tensor:
    """What is usual at each level of SIGMA_GRID, (K,), from held-out clean rows (N, ...): of at most 512.

    Of an energy: log Z up to a common constant. Score matching fixes the energy at each noise level only up to a
    constant. For rows with noise sigma the mean of d/dsigma [E(x, sigma) + log Z(sigma)] is 0 (the score function in
    sigma has mean 0), hence log Z rises from level to level by minus the mean change of the energy, taken over rows of
    both levels.

    Of a `Denoiser`, whose residual is no log density in sigma: the mean over rows x with noise s of
    log(|x - restore(x, s)|^2 / (d s^2)).
    """
    clean = clean[:: -(-len(clean) // MAX_ROWS)]
    by_field = isinstance(energy, Denoiser)
    means: list[dict[int, Tensor]] = []  # of rows with noise of level k: the mean figure at k and beside it
    for k, sigma in enumerate(SIGMA_GRID):
        noisy = clean + sigma * torch.randn(clean.shape, generator=generator, device=clean.device)
        near = (k,) if by_field else range(max(0, k - 1), min(len(SIGMA_GRID), k + 2))
        means.append({j: level_figures(energy, noisy, SIGMA_GRID[j]).mean() for j in near})
    if by_field:
        return torch.stack([mean[k] for k, mean in enumerate(means)])
    offsets = [clean.new_zeros(())]
    for k in range(len(SIGMA_GRID) - 1):
        here, above = means[k], means[k + 1]
        offsets.append(offsets[-1] - 0.5 * (here[k + 1] - here[k] + above[k + 1] - above[k]))
    return torch.stack(offsets)


@torch.no_grad()
def level_figures(energy: Energy, x: Tensor, sigma: float) -> Tensor:
    """E(x, sigma), or of a `Denoiser` log(|x - restore(x, sigma)|^2 / (d sigma^2)): x (B, ...) -> (B,)."""

    def figures(part: Tensor) -> Tensor:
        level = torch.full((len(part),), sigma, device=x.device)
        if not isinstance(energy, Denoiser):
            return energy(part, sigma=level)
        residual = (part - posterior_mean(energy, part, level)).flatten(1)
        return (residual.square().mean(1) / sigma**2).clamp_min(torch.finfo(x.dtype).tiny).log()

    return torch.cat([figures(part) for part in x.split(PART)])


def estimate_sigma(energy: Energy, x: Tensor, offsets: Tensor) -> Tensor:
    """The noise level of each row of x (B, ...): (B,), within SIGMA_GRID.

    Of an energy the most likely one, the sigma that minimises E(x, sigma) + log Z(sigma), between the levels of the
    grid by the parabola through the least and its neighbours, in log sigma. Of a `Denoiser` the highest at which as
    much is taken away as is usual of rows with that noise: at levels above the noise it is less.

    Args:
        offsets: `level_offsets` of the same energy.
    """
    figures = torch.stack([level_figures(energy, x, sigma) for sigma in SIGMA_GRID], 1)
    offsets = offsets.to(x.device)
    return _crossing(figures - offsets) if isinstance(energy, Denoiser) else _least(figures + offsets)


def _least(cost: Tensor) -> Tensor:
    best = cost.argmin(1).clamp(1, len(SIGMA_GRID) - 2)
    rows = torch.arange(len(cost), device=cost.device)
    left, middle, right = cost[rows, best - 1], cost[rows, best], cost[rows, best + 1]
    curvature = (left - 2 * middle + right).clamp_min(1e-9)
    shift = (0.5 * (left - right) / curvature).clamp(-1, 1)
    logs = torch.tensor(SIGMA_GRID, device=cost.device).log()
    return (logs[best] + shift * (logs[1] - logs[0])).exp()


def _crossing(excess: Tensor) -> Tensor:
    """Where the excess (B, K) over what is usual last falls below 0, in log sigma; an end of the grid where it does
    not."""
    logs = torch.tensor(SIGMA_GRID, device=excess.device).log()
    rows, last = torch.arange(len(excess), device=excess.device), len(SIGMA_GRID) - 1
    order = torch.arange(last + 1, device=excess.device)
    at = torch.where(excess > 0, order, -1).amax(1)  # the last level with more residual than usual
    low = at.clamp(0, last - 1)
    above, below = excess[rows, low], excess[rows, low + 1]
    between = logs[low] + (above / (above - below).clamp_min(1e-9)).clamp(0, 1) * (logs[1] - logs[0])
    return torch.where(at < 0, logs[0], torch.where(at == last, logs[last], between)).exp()
