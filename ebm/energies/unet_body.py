"""A small U-Net, the body of the energies and denoisers of images."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from ebm.energies.body import N_SIGMA_FEATURES, sigma_features


class ResidualBlock(nn.Module):
    """a + conv3(SiLU(conv3(SiLU(n(a))) + W e)), with e the sigma features, where there are any; the second convolution
    starts at zero. n divides each row by its own root mean square where `normalise`: without it deep stacks die of one
    large step."""

    def __init__(self, channels: int, noise_conditional: bool = True, normalise: bool = True):
        super().__init__()
        self.normalise = normalise
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.bias = nn.Linear(N_SIGMA_FEATURES, channels) if noise_conditional else None
        nn.init.zeros_(self.second.weight)

    def forward(self, a: Tensor, e: Tensor | None) -> Tensor:
        h = self.first(F.silu(scaled(a) if self.normalise else a))
        if e is not None and self.bias is not None:
            h = h + self.bias(e)[:, :, None, None]
        return a + self.second(F.silu(h))


def scaled(a: Tensor) -> Tensor:
    """a (B, C, H, W) over the root mean square of its row (Zhang and Sennrich 2019)."""
    return a * (a.float().square().mean((1, 2, 3), keepdim=True) + 1e-4).rsqrt()


class UNet(nn.Module):
    """Convolutions down to 1/2^(L-1) of the side and up again, with additive skips (Ronneberger et al. 2015).

    x (B, C, H, W) and sigma (B, 1) give (B, n_out, H, W). Sides that are no multiple of 2^(L-1) are padded with their
    border and cut again. SiLU, because an energy is differentiated twice; no batch norm, as rows do not see each other.
    """

    def __init__(self, channels: int, n_out: int, widths: tuple[int, ...], blocks: int):
        super().__init__()
        self.factor = 2 ** (len(widths) - 1)
        finest = widths[0]
        self.first = nn.Conv2d(channels, finest, 3, padding=1)
        pairs = list(zip(widths, widths[1:], strict=False))
        # The finest level costs most and needs least; the deepest, least and most.
        depth = [0, *[1] * (len(widths) - 2), blocks] if len(widths) > 1 else [blocks]
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in reversed(pairs))
        self.before = nn.ModuleList(
            nn.ModuleList(ResidualBlock(w) for _ in range(n)) for w, n in zip(widths, depth, strict=True)
        )
        self.after = nn.ModuleList(
            nn.ModuleList(ResidualBlock(w) for _ in range(n))
            for w, n in reversed(list(zip(widths[:-1], depth[:-1], strict=True)))
        )
        self.out = nn.Conv2d(finest, n_out, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # pyright: ignore[reportArgumentType]  # it has one

    def forward(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        e = None if sigma is None else sigma_features(sigma)
        height, width = x.shape[2:]
        below, right = -height % self.factor, -width % self.factor
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        a = self.first(x)
        kept: list[Tensor] = []
        for i, level in enumerate(self.before):
            if i:
                kept.append(a)
                a = self.down[i - 1](a)
            for block in cast(nn.ModuleList, level):
                a = block(a, e)
        for up, level in zip(self.up, self.after, strict=True):
            a = F.interpolate(up(a), scale_factor=2.0, mode="nearest") + kept.pop()
            for block in cast(nn.ModuleList, level):
                a = block(a, e)
        return self.out(F.silu(a))[:, :, :height, :width]
