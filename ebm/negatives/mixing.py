"""Corruptions by parts of other images."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ebm.negatives.draws import each, one_of, others, smooth_field, uniform


def mixup(x: Tensor, generator: Generator) -> Tensor:
    """.2 to .8 of one image over another (Zhang et al. 2018)."""
    share = each(0.2, 0.8, x, generator)
    return share * x + (1 - share) * others(x, generator)


def mask_mix(x: Tensor, generator: Generator) -> Tensor:
    """Two images, one within a smooth random mask (Rippel et al. 2016; French et al. 2020)."""
    cells = one_of((3, 4, 6, 8), generator)
    mask = smooth_field(1, (x.shape[2], x.shape[3]), cells, x, generator)
    mask = torch.sigmoid((mask - each(-0.6, 0.6, x, generator)) * each(3.0, 40.0, x, generator))
    return mask * x + (1 - mask) * others(x, generator)


def cutmix(x: Tensor, generator: Generator) -> Tensor:
    """A box of another image (Yun et al. 2019)."""
    return torch.where(_box(x, generator), others(x, generator), x)


def box_noise(x: Tensor, generator: Generator) -> Tensor:
    """A box of uniform noise."""
    return torch.where(_box(x, generator), uniform(-1.0, 1.0, tuple(x.shape), x, generator), x)


def box_constant(x: Tensor, generator: Generator) -> Tensor:
    """A box of one level (DeVries and Taylor 2017)."""
    return torch.where(_box(x, generator), each(-1.0, 1.0, x, generator), x)


def _box(x: Tensor, generator: Generator) -> Tensor:
    """(B, 1, H, W) bool: a box of an eighth to half of each side."""
    inside = []
    for length in x.shape[2:]:
        side = (uniform(0.15, 0.5, (len(x), 1), x, generator) * length).ceil()
        first = (uniform(0.0, 1.0, (len(x), 1), x, generator) * (length - side + 1)).floor()
        place = torch.arange(length, device=x.device)
        inside.append((place >= first) & (place < first + side))
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
