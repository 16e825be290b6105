"""A Gaussian base for images: full covariance along the leading directions, isotropic beside them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EXACT = 4096  # coordinates up to which C is made whole
MAX_ROWS = 4000
FLOOR = 1e-4  # variance of a direction without any: the noiseless energy would be infinitely steep


class LowRankBase(nn.Module):
    """N(mean, C) with C = V diag(l) V^T + v (I - V V^T), V (d, k) orthonormal: probabilistic principal components.

    With noise sigma the energy is 1/2 (x - mean)^T (C + sigma^2 I)^-1 (x - mean) + 1/2 log det(C + sigma^2 I), exact
    for Gaussian data. A full V of 32 x 32 pixels takes 4 MB, one of 128 directions an eighth (Tipping and Bishop 1999).
    All in and out is flat, (B, d); sigma is (B, 1).
    """

    mean: Tensor
    eigenvalues: Tensor
    eigenvectors: Tensor
    rest: Tensor

    def __init__(self, dim: int, rank: int):
        super().__init__()
        rank = min(rank, dim)
        self.dim, self.rank = dim, rank
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("eigenvalues", torch.ones(rank))
        self.register_buffer("eigenvectors", torch.eye(dim, rank))
        self.register_buffer("rest", torch.ones(()))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set all from x (N, d), N >= 2; beyond 4,096 coordinates from at most 4,000 rows, by a randomised
        decomposition (Halko, Martinsson and Tropp 2011), for C itself would not fit into memory."""
        self.mean.copy_(x.mean(0))
        if self.dim <= EXACT:
            centred = x - self.mean
            covariance = (centred.T @ centred).double() / (len(x) - 1)
            values, vectors = torch.linalg.eigh(covariance)
            values, vectors = values.flip(0), vectors.flip(1)[:, : self.rank]
            left = values[self.rank :].clamp_min(FLOOR)
            rest = float(left.mean()) if len(left) else FLOOR
        else:
            centred = x[torch.linspace(0, len(x) - 1, min(len(x), MAX_ROWS)).long()] - self.mean
            n, rank = len(centred) - 1, min(self.rank, len(centred) - 1)
            with torch.random.fork_rng(devices=[]):  # the same base whatever was drawn before
                torch.manual_seed(0)
                _, found, basis = torch.svd_lowrank(centred, q=rank, niter=4)
            values = torch.zeros(self.rank).index_copy_(0, torch.arange(rank), found.square() / n)
            vectors = (
                torch.linalg.qr(torch.cat([basis, self.eigenvectors[:, rank:]], 1)).Q
                if rank < self.rank
                else basis
            )
            total = float(centred.square().sum()) / n
            rest = max(FLOOR, (total - float(values.sum())) / max(1, self.dim - self.rank))
        self.eigenvalues.copy_(values[: self.rank].clamp_min(FLOOR))
        self.eigenvectors.copy_(vectors)
        self.rest.fill_(rest)

    def _scaled(self, y: Tensor, leading: Tensor, rest: Tensor) -> Tensor:
        """V diag(leading) V^T y + rest (I - V V^T) y; leading (B, k), rest (B, 1)."""
        with torch.autocast(y.device.type, enabled=False):  # the two terms nearly cancel
            z = y @ self.eigenvectors
            return y * rest + (z * (leading - rest)) @ self.eigenvectors.T

    def _totals(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        noise = sigma.square()
        return self.eigenvalues + noise, self.rest + noise

    def whiten(self, x: Tensor, sigma: Tensor) -> Tensor:
        """(C + sigma^2 I)^(-1/2) (x - mean)."""
        leading, rest = self._totals(sigma)
        return self._scaled(x - self.mean, leading.rsqrt(), rest.rsqrt())

    def restore(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Wiener's filter, mean + C (C + sigma^2 I)^-1 (x - mean): the posterior mean of Gaussian data."""
        leading, rest = self._totals(sigma)
        return self.mean + self._scaled(x - self.mean, self.eigenvalues / leading, self.rest / rest)

    def half_log_det(self, sigma: Tensor) -> Tensor:
        """1/2 log det(C + sigma^2 I), (B,)."""
        leading, rest = self._totals(sigma)
        return 0.5 * (leading.log().sum(1) + (self.dim - self.rank) * rest.log().squeeze(1))

    def energy(self, x: Tensor, sigma: Tensor) -> Tensor:
        """(B,): the exact energy of the Gaussian."""
        return 0.5 * self.whiten(x, sigma).square().sum(1) + self.half_log_det(sigma)
