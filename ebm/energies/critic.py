"""A convolutional critic: local energies and a global one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ebm.energies.unet_body import ResidualBlock


class Critic(nn.Module):
    """D(x) = logsumexp over places of a map of local energies + one number for the whole - 4.

    conv5 stride 2, conv3 stride 2, two residual blocks, of which a 1x1 convolution makes the map (B, H/4, W/4); conv3
    stride 2, a residual block and a dense layer make the rest. One bad place is enough for a high energy, which is what
    a local fault needs; the constant starts normal images near zero. No normalisation: rows do not see each other.
    """

    def __init__(self, channels: int, size: tuple[int, ...], widths: tuple[int, ...]):
        super().__init__()
        a, b, c = widths
        self.first = nn.Conv2d(channels, a, 5, stride=2, padding=2)
        self.second = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(b, False, False) for _ in range(2))
        self.local = nn.Conv2d(b, 1, 1)
        self.third = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.last = ResidualBlock(c, False, False)
        side = [-(-n // 8) for n in size]
        self.out = nn.Linear(c * side[0] * side[1], 1)

    def _features(self, x: Tensor) -> Tensor:
        h = self.second(F.silu(self.first(x)))
        for block in self.blocks:
            h = block(h, None)
        return F.silu(h)

    def local_map(self, x: Tensor) -> Tensor:
        """(B, H/4, W/4): the local energies."""
        return self.local(self._features(x))[:, 0].to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        h = self._features(x)
        local = torch.logsumexp(self.local(h).flatten(1).to(x.dtype), 1)
        whole = self.out(F.silu(self.last(self.third(h), None)).flatten(1)).squeeze(1)
        return local + whole.to(x.dtype) - 4
