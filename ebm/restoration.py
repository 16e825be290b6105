"""Denoising with a noise-conditional energy, and how much noise there is to take away."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Generator, Tensor

from ebm.samplers.gradient import energy_and_gradient, standard_normal_like
from ebm.types import Energy

DenoiseMethod = Literal["posterior_mean", "langevin"]
METHODS: dict[str, int] = {"posterior_mean": 1, "langevin": 50}  # and the steps each takes by default
LANGEVIN_STEP = 0.3  # in units of the variance of the noise that is left
SIGMA_GRID = tuple(float(s) for s in torch.logspace(math.log10(0.05), math.log10(1.5), 18))


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


def langevin_denoise_steps(
    energy: Energy, x: Tensor, sigma: Tensor, n_steps: int, sigma_min: float, generator: Generator
) -> Iterator[Tensor]:
    """Yield a state after each of n_steps, the last of which is a draw from p(clean | noisy x), (B, ...).

    Annealed Langevin dynamics from the noisy x down a geometric ladder of noise levels s (Kawar, Vaksman and Elad
    2021): about the state at level s, x has variance sigma^2 - s^2, hence the step follows -grad E(state, s) +
    (x - state) / (sigma^2 - s^2). From level to level the state takes the step of the reverse
    diffusion (Song et al. 2021, "predictor-corrector"), at last that to the posterior mean.
    """

    def broadcast(values: Tensor) -> Tensor:
        return values.reshape(-1, *[1] * (x.dim() - 1))

    ratio = (sigma_min / sigma).clamp(max=1.0)
    state = x
    for i in range(n_steps - 1):
        level, below = (sigma * ratio ** (j / max(1, n_steps - 1)) for j in (i, i + 1))
        drop = level.square() - below.square()
        _, gradient = energy_and_gradient(lambda x, s=level: energy(x, sigma=s), state)
        noise = broadcast(drop.clamp_min(0).sqrt() * below / level)
        state = state - broadcast(drop) * gradient + noise * standard_normal_like(x, generator)
        # One over the curvature of p(state | x) where the clean x is known to be a point.
        size = LANGEVIN_STEP * below.square() * (1 - below.square() / sigma.square())
        pull = broadcast(LANGEVIN_STEP * below.square() / sigma.square()) * (x - state)
        _, gradient = energy_and_gradient(lambda x, s=below: energy(x, sigma=s), state)
        noise = broadcast((2 * size).clamp_min(0).sqrt())
        state = state - broadcast(size) * gradient + pull + noise * standard_normal_like(x, generator)
        yield state
    yield posterior_mean(energy, state, sigma * ratio if n_steps > 1 else sigma)


def level_energies(energy: Energy, x: Tensor) -> Tensor:
    """E(x, sigma) at each level of SIGMA_GRID, (B, K)."""
    with torch.no_grad():
        return torch.stack(
            [energy(x, sigma=torch.full((len(x),), s, device=x.device)) for s in SIGMA_GRID], 1
        )


def level_offsets(energy: Energy, clean: Tensor, generator: Generator) -> Tensor:
    """log Z at each level of SIGMA_GRID up to a common constant, (K,), from held-out rows (N, ...).

    Score matching fixes the energy at each noise level only up to a constant. For rows with noise sigma the mean of
    d/dsigma [E(x, sigma) + log Z(sigma)] is 0 (the score function in sigma has mean 0), hence log Z rises from level to
    level by minus the mean change of the energy, taken over rows of both levels.
    """
    offsets = [clean.new_zeros(())]
    means = []
    for sigma in SIGMA_GRID:
        noisy = clean + sigma * torch.randn(clean.shape, generator=generator, device=clean.device)
        means.append(level_energies(energy, noisy).mean(0))
    for k in range(len(SIGMA_GRID) - 1):
        change = 0.5 * (means[k][k + 1] - means[k][k] + means[k + 1][k + 1] - means[k + 1][k])
        offsets.append(offsets[-1] - change)
    return torch.stack(offsets)


def estimate_sigma(energy: Energy, x: Tensor, offsets: Tensor) -> Tensor:
    """The most likely noise level of each row, (B,): the sigma that minimises E(x, sigma) + log Z(sigma).

    Between the levels of the grid by the parabola through the least and its neighbours, in log sigma.
    """
    cost = level_energies(energy, x) + offsets.to(x.device)
    best = cost.argmin(1).clamp(1, len(SIGMA_GRID) - 2)
    rows = torch.arange(len(x), device=x.device)
    left, middle, right = cost[rows, best - 1], cost[rows, best], cost[rows, best + 1]
    curvature = (left - 2 * middle + right).clamp_min(1e-9)
    shift = (0.5 * (left - right) / curvature).clamp(-1, 1)
    logs = torch.tensor(SIGMA_GRID, device=x.device).log()
    return (logs[best] + shift * (logs[1] - logs[0])).exp()
