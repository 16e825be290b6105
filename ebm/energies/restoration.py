"""A denoiser of images, and the energy that is its squared residual."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.base import sigma_column
from ebm.energies.low_rank import LowRankBase
from ebm.energies.unet_body import UNet
from ebm.errors import BadConfig, BadInput

Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=6)]


def gain(sigma: Tensor) -> Tensor:
    """.45 sigma / sqrt(sigma^2 + .09): how far the clean image may be from the Gaussian guess, by noise level."""
    return 0.45 * sigma / (sigma.square() + 0.09).sqrt()


class WienerUNet(nn.Module):
    """f(x, sigma) = W(x, sigma) + gain(sigma) U([W + (x - W) / sqrt(1 + 4 sigma^2)], sigma).

    W is Wiener's filter of the data's Gaussian, exact where the data are Gaussian, and U a U-Net for what is not. The
    input of U stays of the data's size at any noise. x (B, C, H, W), sigma (B,) or a float > 0.
    """

    def __init__(self, shape: tuple[int, ...], widths: tuple[int, ...], blocks: int, rank: int):
        super().__init__()
        self.base = LowRankBase(math.prod(shape), rank)
        self.unet = UNet(shape[0], shape[0], widths, blocks)
        self.unet.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # its stubs lack it

    def parts(self, x: Tensor, sigma: Tensor | float | None) -> tuple[Tensor, Tensor, Tensor]:
        """sigma as (B, 1), the Gaussian guess W (B, d), and the input of U (B, C, H, W).

        Raises:
            BadInput: no sigma.
        """
        if sigma is None:
            raise BadInput("this energy is noise-conditional: pass sigma")
        flat = x.flatten(1)
        column = sigma_column(sigma, flat)
        guess = self.base.restore(flat, column)
        seen = guess + (flat - guess) / (1 + 4 * column.square()).sqrt()
        return column, guess, seen.reshape(x.shape).contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor, sigma: Tensor | float | None) -> Tensor:
        column, guess, seen = self.parts(x, sigma)
        return (guess + gain(column) * self.unet(seen, column).flatten(1).to(x.dtype)).reshape(x.shape)


class WienerUNetConfig(Frozen):
    """`widths`: channels of the U-Net from the finest level down; `blocks`: residual blocks at its deepest level;
    `rank`: leading directions of the Gaussian base."""

    widths: Widths = (24, 48, 96)
    blocks: int = Field(default=2, ge=1)
    rank: int = Field(default=128, ge=1)
    noise_conditional: Literal[True] = True


class RestorationConfig(WienerUNetConfig):
    """See `WienerUNetConfig`."""

    kind: Literal["restoration"] = "restoration"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return RestorationEnergy(shape, self)


class RestorationEnergy(nn.Module):
    """E(x, sigma) = |x - f(x, sigma)|^2 / (2 sigma^2): what a denoiser would change, in units of the noise.

    f is trained by regression (objective `restoration`). E is a scalar energy, but (x - f) / sigma^2 is *not* its
    gradient: f denoises and generates as a field (Ho et al. 2020), E ranks. Nor is E the energy of the noisy data; for
    that, see `UNetEnergy`. x is (B, C, H, W); sigma (B,) or a float > 0; the answer is (B,).

    Source: Alain and Bengio 2014 (residual and score function); Graham et al. 2023 (residuals as anomaly scores).

    Raises:
        BadConfig: the data are no images. BadInput: called without sigma.
    """

    noise_conditional = True

    def __init__(self, shape: tuple[int, ...], config: RestorationConfig):
        super().__init__()
        require_images(config.kind, shape)
        self.denoiser = WienerUNet(shape, config.widths, config.blocks, config.rank)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the Gaussian base from x (N, C, H, W)."""
        self.denoiser.base.fit(x.flatten(1))

    def restore(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """f(x, sigma), (B, C, H, W): the mean of the clean image given the noisy one, as trained."""
        return self.denoiser(x, sigma)

    def residual(self, x: Tensor, sigma: Tensor | float | None) -> Tensor:
        """(x - f(x, sigma))^2 / (2 sigma^2), (B, C, H, W)."""
        clean = self.denoiser(x, sigma)
        column = sigma_column(sigma, x.flatten(1))
        return (x - clean).square() / (2 * column.square()).reshape(-1, 1, 1, 1)

    def local_energies(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        """(B, H, W): the terms of the energy by pixel, which add up to it."""
        return self.residual(x, sigma).sum(1)

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        return self.residual(x, sigma).flatten(1).sum(1)


def require_images(kind: str, shape: tuple[int, ...]) -> None:
    """Raises BadConfig unless shape is (C, H, W)."""
    if len(shape) != 3:
        raise BadConfig(f"energy kind '{kind}' needs images (C, H, W); the data have shape {tuple(shape)}")
