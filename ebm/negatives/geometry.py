"""Corruptions of where things are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ebm.negatives.draws import each, one_of, smooth_field, uniform


def elastic(x: Tensor, generator: Generator) -> Tensor:
    """Pixels moved along a smooth random field (Simard, Steinkraus and Platt 2003)."""
    cells = one_of((3, 4, 6, 8), generator)
    height, width = x.shape[2:]
    moved = smooth_field(2, (height, width), cells, x, generator).permute(0, 2, 3, 1)
    moved = moved * each(0.06, 0.3, x, generator) * (4 / cells)
    down = torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype)
    across = torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype)
    y, z = torch.meshgrid(down, across, indexing="ij")
    grid = torch.stack([z, y], -1)[None] + moved
    return F.grid_sample(x, grid, padding_mode="border", align_corners=True)


def patch_shuffle(x: Tensor, generator: Generator) -> Tensor:
    """Squares of an eighth, a quarter or half of the side, some of them exchanged."""
    n, c, height, width = x.shape
    parts = one_of((2, 4, 8), generator)
    h, w = height // parts, width // parts
    if min(h, w) < 2:
        parts, h, w = 2, height // 2, width // 2
    inner = x[:, :, : h * parts, : w * parts]
    tiles = inner.reshape(n, c, parts, h, parts, w).permute(0, 2, 4, 1, 3, 5).reshape(n, -1, c, h, w)
    k = tiles.shape[1]
    drawn = torch.rand((n, k), generator=generator, device=x.device)
    stay = torch.rand((n, k), generator=generator, device=x.device) < uniform(0.0, 0.8, (n, 1), x, generator)
    stay &= drawn.argsort(1).argsort(1) >= 2  # two move at least, or the image would be its own negative
    # Those that move in random order, behind them those that stay; each gives its place to the next, the last to the
    # first.
    place = torch.arange(k, device=x.device).expand(n, k)
    circle, moving = torch.where(stay, place + k, drawn).argsort(1), (~stay).sum(1, keepdim=True)
    after = torch.where(place < moving, (place + 1) % moving, place)
    order = torch.zeros_like(circle).scatter_(1, circle, circle.gather(1, after))
    tiles = torch.gather(tiles, 1, order[:, :, None, None, None].expand_as(tiles))
    out = x.clone()
    back = tiles.reshape(n, parts, parts, c, h, w).permute(0, 3, 1, 4, 2, 5)
    out[:, :, : h * parts, : w * parts] = back.reshape(n, c, h * parts, w * parts)
    return out


def rotate(x: Tensor, generator: Generator) -> Tensor:
    """By a quarter turn, a half or three quarters; of images that are not square, by a half."""
    turns = one_of((1, 2, 3), generator) if x.shape[2] == x.shape[3] else 2
    return torch.rot90(x, turns, (2, 3))


def flip(x: Tensor, generator: Generator) -> Tensor:
    """Upside down."""
    del generator
    return x.flip(2)
