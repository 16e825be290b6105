"""Reconstruction energies of images: what an autoencoder cannot repeat, and a critic of what it can."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.autoencoder import Autoencoder
from ebm.energies.critic import Critic
from ebm.energies.restoration import require_images


class ReconstructionConfig(Frozen):
    """`latent`: numbers that the autoencoder keeps; `widths`: its channels from the finest level down; `critic`:
    channels of the critic's three levels, or None for no critic."""

    kind: Literal["reconstruction"] = "reconstruction"
    offers: ClassVar[frozenset[str]] = frozenset({"autoencoder"})
    latent: int = Field(default=32, ge=1)
    widths: tuple[PositiveInt, ...] = Field(default=(24, 48, 96), min_length=1, max_length=5)
    critic: tuple[PositiveInt, PositiveInt, PositiveInt] | None = (24, 48, 96)

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return ReconstructionEnergy(shape, self)


class ReconstructionEnergy(nn.Module):
    """E(x) = softplus(w) (|x - R(x)|^2 / m - 1) + D([x, R(x), 2 (x - R(x))]), R = decode(encode(x)).

    The first term grows without bound away from what R repeats, so that nothing far away is called normal; m is its
    mean over normal images. The critic D sees the image, its reconstruction and their difference: what lies off the
    manifold is large there, and what lies on it but is no data is left to D to learn. Without a critic E is the
    reconstruction energy alone. x is (B, C, H, W); the answer is (B,).

    Train R by objective `reconstruction` (`only: [autoencoder]`), then D by `contrast` and `cd`.

    Raises:
        BadConfig: the data are no images.

    Source: Yoon, Noh and Park 2021 and Yoon et al. 2023 (energies by reconstruction, negatives on its manifold).
    """

    scale: Tensor
    latent_mean: Tensor
    latent_root: Tensor

    def __init__(self, shape: tuple[int, ...], config: ReconstructionConfig):
        super().__init__()
        require_images(config.kind, shape)
        self.autoencoder = Autoencoder(shape, config.latent, config.widths)
        self.critic = Critic(3 * shape[0], shape[1:], config.critic) if config.critic else None
        self.base_weight = nn.Parameter(torch.tensor(-1.0))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("latent_mean", torch.zeros(config.latent))
        self.register_buffer("latent_root", torch.eye(config.latent))
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # its stubs lack it

    def fit(self, x: Tensor) -> None:
        """Nothing is fitted in closed form."""
        del x

    @torch.no_grad()
    def settle(self, x: Tensor) -> None:
        """After a stage of training: m, and the mean and spread of the latent code, over rows of x (N, C, H, W)."""
        rows = x[torch.linspace(0, len(x) - 1, min(len(x), 4000)).long()]
        parts = [(self.encode(part), part) for part in rows.split(500)]
        codes = torch.cat([code for code, _ in parts])
        errors = [(part - self.decode(code)).square().flatten(1).sum(1) for code, part in parts]
        self.scale.copy_(torch.cat(errors).mean().clamp_min(1e-6))
        self.latent_mean.copy_(codes.mean(0))
        covariance = torch.cov(codes.T.double()).reshape(codes.shape[1], codes.shape[1])
        values, vectors = torch.linalg.eigh(covariance)
        self.latent_root.copy_(vectors * values.clamp_min(1e-6).sqrt())

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, latent)."""
        return self.autoencoder.encode(x).to(x.dtype)

    def decode(self, code: Tensor) -> Tensor:
        """(B, latent) -> (B, C, H, W)."""
        return self.autoencoder.decode(code).to(code.dtype)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x - R(x) and what the critic sees."""
        again = self.decode(self.encode(x))
        difference = x - again
        return difference, torch.cat([x, again, 2 * difference], 1)

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        del sigma  # of noiseless data only
        difference, seen = self._parts(x)
        energy = F.softplus(self.base_weight) * (difference.square().flatten(1).sum(1) / self.scale - 1)
        return energy if self.critic is None else energy + self.critic(seen)

    @torch.no_grad()
    def local_energies(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        """(B, H, W): the residual's share of each pixel, and the critic's map of local energies, brought to the size
        of the image; more is more anomalous there."""
        del sigma
        difference, seen = self._parts(x)
        terms = F.softplus(self.base_weight) * difference.square().sum(1) / self.scale
        if self.critic is None:
            return terms
        coarse = self.critic.local_map(seen)[:, None]
        share = torch.softmax(coarse.flatten(1), 1).reshape(coarse.shape) * coarse.exp().clamp(max=math.e**4)
        return terms + F.interpolate(share, size=x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
