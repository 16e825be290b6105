"""How noise levels are drawn for a batch, and how they are weighed."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

RESIDUAL_VARIANCE = 0.15  # of images in [-1, 1] about their Gaussian guess, roughly


def strata(x: Tensor, generator: Generator) -> Tensor:
    """(B,) in (0, 1): one uniform draw in each of B equal parts, which covers the levels evenly at any batch size."""
    n = len(x)
    where = torch.rand(n, generator=generator, device=x.device, dtype=x.dtype)
    return (torch.arange(n, device=x.device, dtype=x.dtype) + where) / n


def log_uniform(x: Tensor, generator: Generator, low: float, high: float) -> Tensor:
    """sigma (B,), log-uniform in [low, high] (Song and Ermon 2019)."""
    return low * (math.log(high / low) * strata(x, generator)).exp()


def log_normal(x: Tensor, generator: Generator, mean: float, sd: float, low: float, high: float) -> Tensor:
    """sigma (B,), exp(N(mean, sd^2)) clipped to [low, high] (Karras et al. 2022)."""
    u = strata(x, generator).clamp(1e-6, 1 - 1e-6)
    return (mean + sd * math.sqrt(2) * torch.erfinv(2 * u - 1)).exp().clamp(low, high)


def denoising_weight(sigma: Tensor) -> Tensor:
    """(1 / sigma^2 + 1 / .15) / 4: of the squared error of a denoised image, so that every level's loss is of order
    one (Karras et al. 2022, lambda(sigma))."""
    return 0.25 * (1 / sigma.square() + 1 / RESIDUAL_VARIANCE)
