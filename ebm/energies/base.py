"""Analytic Gaussian bases: the part of a network energy that grows, and that is exact when the network is silent."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def sigma_column(sigma: Tensor | float | None, x: Tensor) -> Tensor:
    """sigma as (B, 1) on x's device; None means noiseless data, sigma = 0."""
    if sigma is None:
        return x.new_zeros(len(x), 1)
    return torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1).expand(len(x), 1)


class IsotropicBase(nn.Module):
    """E(x, sigma) = |x - mean|^2 / (2 (s^2 + sigma^2)) + (d/2) log(s^2 + sigma^2), s^2 the mean variance.

    Without such a growing term a network energy may call far-away points normal.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(()))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set mean and variance from x (N, d)."""
        self.mean.copy_(x.mean(0))
        self.variance.copy_((x - self.mean).square().mean().clamp_min(1e-6))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x (B, d), sigma (B, 1) -> (B,)."""
        total = self.variance + sigma.square()
        return ((x - self.mean).square() / (2 * total)).sum(1) + 0.5 * self.dim * total.log().squeeze(1)


class CovarianceBase(nn.Module):
    """Full-covariance whitening: r_0(x, sigma) = (C + sigma^2 I)^(-1/2) (x - mean).

    1/2 |r_0|^2 + 1/2 log det(C + sigma^2 I) is the exact energy of Gaussian data with added noise sigma.
    """

    mean: Tensor
    eigenvalues: Tensor
    eigenvectors: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("eigenvalues", torch.ones(dim))
        self.register_buffer("eigenvectors", torch.eye(dim))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set mean and covariance from x (N, d), N >= 2; variances below 1e-4 are raised to it."""
        self.mean.copy_(x.mean(0))
        covariance = torch.cov((x - self.mean).T.double()).reshape(x.shape[1], x.shape[1])
        values, vectors = torch.linalg.eigh(covariance)
        # Directions without data variance would make the noiseless energy infinitely steep.
        self.eigenvalues.copy_(values.clamp_min(1e-4))
        self.eigenvectors.copy_(vectors)

    @property
    def variance(self) -> Tensor:
        """Mean variance over the coordinates."""
        return self.eigenvalues.mean()

    def whiten(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x (B, d), sigma (B, 1) -> r_0 (B, d)."""
        z = (x - self.mean) @ self.eigenvectors
        return (z / (self.eigenvalues + sigma.square()).sqrt()) @ self.eigenvectors.T

    def half_log_det(self, sigma: Tensor) -> Tensor:
        """1/2 log det(C + sigma^2 I), (B,)."""
        return 0.5 * (self.eigenvalues + sigma.square()).log().sum(1)
