"""A scalar energy of images at every noise level, with a U-Net inside."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ebm.energies.restoration import WienerUNet, WienerUNetConfig, gain, require_images


class UNetConfig(WienerUNetConfig):
    """See `WienerUNetConfig`."""

    kind: Literal["unet"] = "unet"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return UNetEnergy(shape, self)


class UNetEnergy(nn.Module):
    """E(x, sigma) = 1/2 |r|^2 + 1/2 log det(C + sigma^2 I), with
    r = (C + sigma^2 I)^(-1/2) (x - mean) + gain(sigma) / sigma U(x, sigma).

    As `ResidualEnergy`, with a U-Net in place of its perceptron: the exact energy of Gaussian data with noise sigma
    where U = 0; U then learns what is not Gaussian. A true scalar energy: -grad E is the score function of the noisy
    data that it is trained to match, x - sigma^2 grad E denoises, and chains on it generate. x is (B, C, H, W); sigma
    (B,) or a float > 0; the answer is (B,).

    Source: Salimans and Ho 2021 (energies of this form beside unconstrained fields).

    Raises:
        BadConfig: the data are no images. BadInput: called without sigma.
    """

    noise_conditional = True

    def __init__(self, shape: tuple[int, ...], config: UNetConfig):
        super().__init__()
        require_images(config.kind, shape)
        self.network = WienerUNet(shape, config.widths, config.blocks, config.rank)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the Gaussian base from x (N, C, H, W)."""
        self.network.base.fit(x.flatten(1))

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        column, _, seen = self.network.parts(x, sigma)
        u = self.network.unet(seen, column).flatten(1).to(x.dtype)
        r = self.network.base.whiten(x.flatten(1), column) + gain(column) / column * u
        return 0.5 * r.square().sum(1) + self.network.base.half_log_det(column)
