"""Random numbers that the corruptions share; all from the generator, on its device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def uniform(low: float, high: float, shape: tuple[int, ...], like: Tensor, generator: Generator) -> Tensor:
    """U(low, high) of `shape`, of `like`'s type and device."""
    unit = torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)
    return low + (high - low) * unit


def each(low: float, high: float, x: Tensor, generator: Generator) -> Tensor:
    """One draw of U(low, high) for each image, (B, 1, 1, 1)."""
    return uniform(low, high, (len(x), 1, 1, 1), x, generator)


def normal(shape: tuple[int, ...], like: Tensor, generator: Generator) -> Tensor:
    """N(0, 1) of `shape`."""
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)


def one_of(choices: tuple[int, ...], generator: Generator) -> int:
    """One of them, each as likely."""
    return choices[int(torch.randint(len(choices), (1,), generator=generator, device=generator.device))]


def smooth_field(
    channels: int, size: tuple[int, int], cells: int, like: Tensor, generator: Generator
) -> Tensor:
    """(B, channels, *size): normal draws on a grid of cells x cells, between them bicubic."""
    coarse = normal((len(like), channels, cells, cells), like, generator)
    return F.interpolate(coarse, size=size, mode="bicubic", align_corners=False)


def others(x: Tensor, generator: Generator) -> Tensor:
    """For each image of x another one of x, (B, ...)."""
    n = len(x)
    shift = torch.randint(1, max(n, 2), (n,), generator=generator, device=x.device)
    return x[(torch.arange(n, device=x.device) + shift) % n]
