"""Changes to training images that leave a normal image normal.

Which ones do, only who knows the data can say: a part may lie turned in the picture, a letter may not. So all are off
until asked for.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn import functional as F

from ebm.config import Frozen


class AugmentConfig(Frozen):
    """Each image gets its own draw of all that is on; uniform unless said otherwise.

    shift: whole pixels, up to so many each way along both axes; never blurs.
    rotate: degrees, up to so many either way, about the centre. Like `scale` it interpolates (bilinear), which blurs a
        little: images of fine texture are then trained on smoother than they will be scored.
    scale: share, size times (1 - scale) to (1 + scale), about the centre.
    flip_horizontal, flip_vertical: mirror every other image, at random: left and right, top and bottom.
    brightness: added to all pixels of an image, up to so much either way, of a range of 2 ([-1, 1]).
    noise: standard deviation of Gaussian noise, drawn for each pixel, same range.
    """

    shift: int = Field(default=0, ge=0)
    rotate: float = Field(default=0.0, ge=0, le=180)
    scale: float = Field(default=0.0, ge=0, lt=1)
    flip_horizontal: bool = False
    flip_vertical: bool = False
    brightness: float = Field(default=0.0, ge=0, le=2)
    noise: float = Field(default=0.0, ge=0, le=2)

    @property
    def is_on(self) -> bool:
        return self != AugmentConfig()

    def build(self) -> Augment:
        return Augment(self)


class Augment:
    """x (B, C, H, W) in [-1, 1], generator -> x of the same shape and range; the same generator state, the same x.

    What comes into the picture from beyond its edges repeats the edges. With nothing on, x comes back as it is.
    """

    def __init__(self, config: AugmentConfig):
        self.config = config

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        c = self.config

        def uniform(limit: float) -> Tensor:
            """(B,) in [-limit, limit)."""
            draw = torch.rand(len(x), generator=generator, device=generator.device).to(x.device, x.dtype)
            return (2 * draw - 1) * limit

        if c.flip_horizontal:
            x = flip(x, uniform(1.0) < 0, 3)
        if c.flip_vertical:
            x = flip(x, uniform(1.0) < 0, 2)
        if c.rotate or c.scale:
            x = turn(x, uniform(c.rotate), 1 + uniform(c.scale))
        if c.shift:
            down, right = (
                torch.round(uniform(c.shift + 0.5)).long().clamp(-c.shift, c.shift) for _ in range(2)
            )
            x = shift(x, down, right)
        if c.brightness:
            x = x + uniform(c.brightness)[:, None, None, None]
        if c.noise:
            noise = torch.randn(x.shape, generator=generator, device=generator.device)
            x = x + c.noise * noise.to(x.device, x.dtype)
        return x.clamp(-1, 1) if c.brightness or c.noise else x


def flip(x: Tensor, which: Tensor, axis: int) -> Tensor:
    """Mirror the images `which` (B,) bool along an axis of (B, C, H, W)."""
    return torch.where(which[:, None, None, None], x.flip(axis), x)


def shift(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move each image by whole pixels (B,) int64; exact, its edges repeated."""
    for axis, by in ((2, down), (3, right)):
        length = x.shape[axis]
        source = (torch.arange(length, device=x.device) - by[:, None]).clamp(0, length - 1)
        source = source[:, None, :, None] if axis == 2 else source[:, None, None, :]
        x = x.gather(axis, source.expand_as(x))
    return x


def turn(x: Tensor, degrees: Tensor, factor: Tensor) -> Tensor:
    """Turn each image clockwise by `degrees` (B,) and enlarge it by `factor` (B,), about its centre; bilinear, its
    edges repeated."""
    height, width = x.shape[2:]
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos() / factor, angle.sin() / factor, torch.zeros_like(angle)
    # Where each pixel comes from, in coordinates that are 1 at the edges of either axis.
    matrix = torch.stack([cos, sin * (height / width), zero, -sin * (width / height), cos, zero], 1)
    grid = F.affine_grid(matrix.reshape(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
