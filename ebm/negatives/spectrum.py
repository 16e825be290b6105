"""Corruptions of the frequencies of an image."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ebm.negatives.draws import each, normal, smooth_field


def phase(x: Tensor, generator: Generator) -> Tensor:
    """Random phases: the power of each frequency stays, its place is lost."""
    spectrum = torch.fft.rfft2(x)
    free = normal(tuple(x.shape), x, generator)
    # Odd in the frequency, as the phase of every real image is; the rest would be lost on the way back.
    odd = (free - free.flip(2, 3).roll((1, 1), (2, 3))) / math.sqrt(2)
    angle = odd[..., : spectrum.shape[-1]] * each(0.1, math.pi / 2, x, generator)
    turned = spectrum * torch.polar(torch.ones_like(angle), angle)
    return torch.fft.irfft2(turned, s=x.shape[2:]).clamp(-1, 1)


def bands(x: Tensor, generator: Generator) -> Tensor:
    """Bands of frequencies made stronger or weaker."""
    spectrum = torch.fft.rfft2(x)
    factor = smooth_field(1, (spectrum.shape[2], spectrum.shape[3]), 4, x, generator)
    factor = (factor * each(0.3, 1.0, x, generator)).exp()
    factor[..., 0, 0] = 1
    return torch.fft.irfft2(spectrum * factor, s=x.shape[2:]).clamp(-1, 1)


def low_rank(x: Tensor, generator: Generator) -> Tensor:
    """The first one to four terms of the singular value decomposition of each channel."""
    left, values, right = torch.linalg.svd(x, full_matrices=False)
    rank = torch.randint(1, 5, (len(x), 1, 1), generator=generator, device=x.device)
    kept = values * (torch.arange(values.shape[-1], device=x.device) < rank)
    return ((left * kept[..., None, :]) @ right).clamp(-1, 1)
