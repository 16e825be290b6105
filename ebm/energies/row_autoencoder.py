"""Reconstruction energies of rows: what an autoencoder cannot repeat, measured by a metric that may be learnt."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.body import MLPBody

CODE_BOUND = 3.0  # codes lie in [-3, 3], near linear within [-1, 1]


class AutoencoderConfig(Frozen):
    """`latent`: numbers that the autoencoder keeps; `width`, `depth`: of its encoder and of its decoder.

    `metric`: of the residual: `euclidean`; `covariance`, the inverse of the residuals' covariance; `learned`, which
    begins as that and is then trained with the rest.
    """

    kind: Literal["autoencoder"] = "autoencoder"
    offers: ClassVar[frozenset[str]] = frozenset({"autoencoder"})
    latent: int = Field(default=4, ge=1)
    width: int = Field(default=64, ge=1)
    depth: int = Field(default=2, ge=1)
    metric: Literal["euclidean", "covariance", "learned"] = "euclidean"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return RowAutoencoderEnergy(shape, self)


class RowAutoencoder(nn.Module):
    """R(x) = decode(encode(x)): two residual MLPs, codes in [-3, 3]^latent.

    Codes are bounded, hence so is R: no row far away is repeated, however well the network extrapolates.
    """

    def __init__(self, dim: int, latent: int, width: int, depth: int):
        super().__init__()
        self.encoder = MLPBody(dim, latent, width, depth, noise_conditional=False)
        self.decoder = MLPBody(latent, dim, width, depth, noise_conditional=False)

    def encode(self, x: Tensor) -> Tensor:
        """(B, d) -> (B, latent)."""
        return CODE_BOUND * torch.tanh(self.encoder(x, None) / CODE_BOUND)

    def decode(self, code: Tensor) -> Tensor:
        """(B, latent) -> (B, d)."""
        return self.decoder(code, None)


class RowAutoencoderEnergy(nn.Module):
    """E(x) = w (x - R(x))^T M (x - R(x)), R an autoencoder, M = L L^T with det M = 1.

    L is lower triangular and the logarithms of its diagonal add up to 0, so that M cannot shrink to nothing, which
    would make every row normal. E grows without bound away from the data, for R is bounded. w is set, not trained: E
    is d / 2 on average over the training rows, as it is of Gaussian residuals of covariance (2 w M)^-1, which makes
    exp(-E) near the manifold a density that `cd` can go on from. x is (B, *shape), flattened; the answer is (B,).

    `fit`, and `settle` after the first stage of training, set w from the residuals, and M too where the metric is not
    Euclidean (then E is half the squared Mahalanobis distance from x to R(x)). Later stages leave both as they are, so
    that what they train is kept; of metric `learned` M is a parameter, moved by any objective that sees E (`cd`,
    `maximum_likelihood`, `recovery`, ...), which objective `reconstruction` does not; once moved it is kept.

    Source: Bourlard and Kamp 1988 (autoencoders); Vincent et al. 2010, Alain and Bengio 2014 (denoising); Yoon, Noh and
    Park 2021 (as an energy).
    """

    scale: Tensor
    settled: Tensor
    measured: Tensor
    lower: Tensor

    def __init__(self, shape: tuple[int, ...], config: AutoencoderConfig):
        super().__init__()
        self.shape, self.metric = shape, config.metric
        self.dim = math.prod(shape)
        self.autoencoder = RowAutoencoder(self.dim, config.latent, config.width, config.depth)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("settled", torch.zeros((), dtype=torch.bool))
        self.register_buffer("measured", torch.zeros(self.dim, self.dim))
        if config.metric == "learned":
            self.lower = nn.Parameter(torch.zeros(self.dim, self.dim))
        else:
            self.register_buffer("lower", torch.zeros(self.dim, self.dim))

    def encode(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, latent)."""
        return self.autoencoder.encode(x.flatten(1))

    def decode(self, code: Tensor) -> Tensor:
        """(B, latent) -> (B, *shape)."""
        return self.autoencoder.decode(code).reshape(-1, *self.shape)

    def root(self) -> Tensor:
        """L (d, d), lower triangular, of determinant 1. Of `lower` the diagonal holds logarithms, less their mean."""
        logs = self.lower.diagonal()
        return self.lower.tril(-1) + torch.diag((logs - logs.mean()).exp())

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        del sigma  # of noiseless data only
        residual = (x - self.decode(self.encode(x))).flatten(1)
        if self.metric != "euclidean":
            residual = residual @ self.root()
        return self.scale * residual.square().sum(1)

    def fit(self, x: Tensor) -> None:
        """w and M of the untrained autoencoder's residuals over x (N, *shape); a later `settle` may set them anew."""
        self._measure(x)
        self.settled.fill_(False)

    def settle(self, x: Tensor) -> None:
        """After a stage of training: w and M over x (N, *shape), where no stage before has set them."""
        if not bool(self.settled) and torch.equal(self.lower, self.measured):
            self._measure(x)
        self.settled.fill_(True)

    @torch.no_grad()
    def _measure(self, x: Tensor) -> None:
        parts = [(part - self.decode(self.encode(part))).flatten(1) for part in x.split(4096)]
        residuals = torch.cat(parts)
        if self.metric != "euclidean":
            second = (residuals.T @ residuals).double() / len(residuals)
            # A direction without residual would take all of the metric.
            floor = 1e-3 * second.diagonal().mean().clamp_min(1e-12)
            second = second + floor * torch.eye(self.dim, dtype=second.dtype, device=second.device)
            lower = torch.linalg.cholesky(torch.linalg.inv(second))
            logs = lower.diagonal().log()
            lower = lower / logs.mean().exp()
            lower.diagonal().copy_(logs - logs.mean())
            self.lower.copy_(lower)
            self.measured.copy_(lower)
            residuals = residuals @ self.root()
        self.scale.copy_(0.5 * self.dim / residuals.square().sum(1).mean().clamp_min(1e-6))
