"""Denoising with a noise-conditional energy, and how much noise there is to take away."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from ebm.samplers.gradient import energy_and_gradient
from ebm.types import Energy

SIGMA_GRID = tuple(float(s) for s in torch.logspace(math.log10(0.05), math.log10(1.0), 14))


def posterior_mean(energy: Energy, x: Tensor, sigma: Tensor) -> Tensor:
    """x - sigma^2 grad E(x, sigma): the mean of the clean x given the noisy one (Robbins 1956; Miyasawa 1961).

    x (B, ...), sigma (B,) -> (B, ...).
    """
    _, gradient = energy_and_gradient(lambda x: energy(x, sigma=sigma), x)
    return x - sigma.square().reshape(-1, *[1] * (x.dim() - 1)) * gradient


def denoise_steps(
    energy: Energy, x: Tensor, sigma: Tensor, n_steps: int, sigma_min: float
) -> Iterator[Tensor]:
    """Yield x after each of n_steps, the last of which is the answer.

    One step is the posterior mean, which has the least mean squared error and is smooth. Several follow the
    probability-flow equation x <- D + (s'/s) (x - D) down a geometric ladder of noise levels (Song et al. 2021,
    "DDIM"), which gives sharper answers that lie nearer to the data.
    """
    ratio = (sigma_min / sigma).clamp(max=1.0)
    for i in range(n_steps):
        level = sigma * ratio ** (i / n_steps)
        below = sigma * ratio ** ((i + 1) / n_steps)
        clean = posterior_mean(energy, x, level)
        share = (below / level).reshape(-1, *[1] * (x.dim() - 1))
        x = clean if i == n_steps - 1 else clean + share * (x - clean)
        yield x


def residual_power(energy: Energy, x: Tensor, sigma: float) -> Tensor:
    """|sigma grad E(x, sigma)|^2 / d, (B,): near its expected value where sigma is x's own noise, above it where the
    noise is larger than sigma, below it where smaller."""
    level = torch.full((len(x),), sigma, device=x.device)
    _, gradient = energy_and_gradient(lambda x: energy(x, sigma=level), x)
    return (sigma * gradient).flatten(1).square().mean(1)


def expected_power(energy: Energy, clean: Tensor, generator: Generator) -> Tensor:
    """Mean residual power at each level of SIGMA_GRID when that much noise is added to held-out rows: (K,)."""
    noisy = [
        clean + s * torch.randn(clean.shape, generator=generator, device=clean.device) for s in SIGMA_GRID
    ]
    return torch.stack([residual_power(energy, x, s).mean() for x, s in zip(noisy, SIGMA_GRID, strict=True)])


def estimate_sigma(energy: Energy, x: Tensor, expected: Tensor) -> Tensor:
    """The noise level of each row, (B,): where the residual power falls to its expected value.

    Interpolated in log sigma between the grid's levels; the grid's ends where it never crosses.
    """
    logs = torch.tensor(SIGMA_GRID, device=x.device).log()
    excess = (
        torch.stack([residual_power(energy, x, s) for s in SIGMA_GRID], 1).log() - expected.to(x.device).log()
    )
    below = excess <= 0
    first = torch.where(below.any(1), below.float().argmax(1), len(SIGMA_GRID) - 1)
    before = (first - 1).clamp_min(0)
    rows = torch.arange(len(x), device=x.device)
    a, b = excess[rows, before], excess[rows, first]
    share = torch.where((first > 0) & (a > 0) & (b <= 0), a / (a - b).clamp_min(1e-9), torch.ones_like(a))
    return (logs[before] + share * (logs[first] - logs[before])).exp()
