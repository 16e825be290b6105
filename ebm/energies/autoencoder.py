"""A convolutional autoencoder with a short code."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Autoencoder(nn.Module):
    """Strided convolutions to `latent` numbers and back: encode (B, C, H, W) -> (B, latent), decode the other way.

    One stride a width; sides that are no multiple of 2^len(widths) are padded with their border and cut again.
    """

    def __init__(self, shape: tuple[int, ...], latent: int, widths: tuple[int, ...]):
        super().__init__()
        channels, self.height, self.width = shape
        factor = 2 ** len(widths)
        self.below, self.right = -self.height % factor, -self.width % factor
        self.bottom = (widths[-1], (self.height + self.below) // factor, (self.width + self.right) // factor)
        size = self.bottom[0] * self.bottom[1] * self.bottom[2]
        sizes = (channels, *widths)
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.code, self.start = nn.Linear(size, latent), nn.Linear(latent, size)
        back = sizes[::-1]
        self.up = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(back, back[1:], strict=False))

    def encode(self, x: Tensor) -> Tensor:
        if self.below or self.right:
            x = F.pad(x, (0, self.right, 0, self.below), mode="replicate")
        for layer in self.down:
            x = F.silu(layer(x))
        return self.code(x.flatten(1))

    def decode(self, code: Tensor) -> Tensor:
        a = self.start(code).reshape(-1, *self.bottom)
        for layer in self.up:
            a = layer(F.interpolate(F.silu(a), scale_factor=2.0, mode="nearest"))
        return a[:, :, : self.height, : self.width]
