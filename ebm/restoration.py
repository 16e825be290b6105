"""Denoising with a noise-conditional energy; `ebm.noise_level` says how much noise there is to take away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Generator, Tensor

from ebm.samplers.gradient import standard_normal_like
from ebm.samplers.posterior import posterior_mean, score_estimate
from ebm.types import Energy

DenoiseMethod = Literal["posterior_mean", "langevin"]
METHODS: dict[str, int] = {"posterior_mean": 1, "langevin": 50}  # and the steps each takes by default
LANGEVIN_STEP = 0.3  # in units of the variance of the noise that is left


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
    2021): about the state at level s, x has variance sigma^2 - s^2, hence the step follows the `score_estimate` of the
    state + (x - state) / (sigma^2 - s^2). From level to level the state takes the step of the reverse diffusion (Song
    et al. 2021, "predictor-corrector"), at last that to the posterior mean.
    """

    def broadcast(values: Tensor) -> Tensor:
        return values.reshape(-1, *[1] * (x.dim() - 1))

    ratio = (sigma_min / sigma).clamp(max=1.0)
    state = x
    for i in range(n_steps - 1):
        level, below = (sigma * ratio ** (j / max(1, n_steps - 1)) for j in (i, i + 1))
        drop = level.square() - below.square()
        score = score_estimate(energy, state, level)
        noise = broadcast(drop.clamp_min(0).sqrt() * below / level)
        state = state + broadcast(drop) * score + noise * standard_normal_like(x, generator)
        # One over the curvature of p(state | x) where the clean x is known to be a point.
        size = LANGEVIN_STEP * below.square() * (1 - below.square() / sigma.square())
        pull = broadcast(LANGEVIN_STEP * below.square() / sigma.square()) * (x - state)
        score = score_estimate(energy, state, below)
        noise = broadcast((2 * size).clamp_min(0).sqrt())
        state = state + broadcast(size) * score + pull + noise * standard_normal_like(x, generator)
        yield state
    yield posterior_mean(energy, state, sigma * ratio if n_steps > 1 else sigma)
