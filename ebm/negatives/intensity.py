"""Corruptions of the values of pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ebm.negatives.draws import each, normal, one_of, smooth_field


def noise(x: Tensor, generator: Generator) -> Tensor:
    """Gaussian noise of sd .03 to 1, log-uniform."""
    sd = each(math.log(0.03), 0.0, x, generator).exp()
    return (x + sd * normal(x.shape, x, generator)).clamp(-1, 1)


def inversion(x: Tensor, generator: Generator) -> Tensor:
    """Light for dark, at .6 to 1 of the contrast."""
    return -x * each(0.6, 1.0, x, generator)


def threshold(x: Tensor, generator: Generator) -> Tensor:
    """Two levels: black below a random one, a random one above."""
    return torch.where(x > each(-0.8, 0.6, x, generator), each(0.2, 1.0, x, generator), -1.0)


def gray(x: Tensor, generator: Generator) -> Tensor:
    """One level everywhere."""
    return each(-1.0, 1.0, x, generator).expand_as(x).clone()


def brightness(x: Tensor, generator: Generator) -> Tensor:
    """A level added or taken away."""
    shift = each(0.1, 0.8, x, generator)
    sign = torch.where(each(-1.0, 1.0, x, generator) < 0, -1.0, 1.0)
    return (x + sign * shift).clamp(-1, 1)


def smooth(x: Tensor, generator: Generator) -> Tensor:
    """A smooth random field in place of the image."""
    cells = one_of((2, 3, 4, 6), generator)
    field = smooth_field(x.shape[1], (x.shape[2], x.shape[3]), cells, x, generator)
    return torch.tanh(field * each(0.3, 2.0, x, generator) + each(-1.0, 1.0, x, generator))


def blur(x: Tensor, generator: Generator) -> Tensor:
    """Gaussian blur of sd .7 to 2.5 pixels, for images of 32; in proportion for others, but not below .6, which would
    leave them as they are."""
    scale = min(x.shape[2:]) / 32
    sd = float(torch.rand((), generator=generator, device=generator.device)) * 1.8 * scale
    sd += max(0.7 * scale, 0.6)
    reach = max(1, min(round(3 * sd), min(x.shape[2:]) - 1))
    kernel = torch.exp(
        -(torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype) ** 2) / (2 * sd * sd)
    )
    kernel = (kernel / kernel.sum()).repeat(x.shape[1], 1)
    c = x.shape[1]
    across = F.conv2d(F.pad(x, (reach, reach, 0, 0), mode="replicate"), kernel[:, None, None, :], groups=c)
    return F.conv2d(F.pad(across, (0, 0, reach, reach), mode="replicate"), kernel[:, None, :, None], groups=c)


def erosion(x: Tensor, generator: Generator) -> Tensor:
    """Light parts thinned, thickened, or only their edges (morphology of 3 or 5 pixels)."""
    side = one_of((3, 5), generator)
    thick = F.max_pool2d(x, side, 1, side // 2)
    thin = -F.max_pool2d(-x, side, 1, side // 2)
    which = torch.randint(3, (len(x), 1, 1, 1), generator=generator, device=x.device)
    edges = (thick - thin).clamp(0, 2) - 1
    return torch.where(which == 0, thin, torch.where(which == 1, thick, edges))
