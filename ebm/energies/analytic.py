"""Energies whose partition function, samples and smoothed versions are known: the yardstick of the tests.

A smoothed energy E(x, sigma) is that of x + sigma * eps, eps ~ N(0, I): exp(-E(., sigma)) is the convolution
of exp(-E) with the noise's density. Convolution keeps the mass, hence `log_z` holds at every sigma.
"""

from __future__ import annotations

import math

import scipy.special
import torch
from torch import Generator, Tensor, nn

from ebm.errors import BadConfig, Unsupported

Sigma = Tensor | float | None


class Gaussian(nn.Module):
    """E(x) = (x - m)^T P (x - m) / 2, with P = L L^T the precision.

    Smoothed: y^T A^-1 y / 2 + log det(A) / 2, where y = L^T (x - m) and A = I + sigma^2 L^T L.

    Args:
        mean: m (d,).
        precision: P (d, d), symmetric and positive definite.
        learnable: make m and the factor L parameters, so that an objective can fit them.

    Raises:
        BadConfig: P is not (d, d), symmetric and positive definite.
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, mean: Tensor, precision: Tensor, learnable: bool = False):
        super().__init__()
        d = len(mean)
        if precision.shape != (d, d) or not torch.allclose(precision, precision.T):
            raise BadConfig(f"Gaussian: precision must be symmetric of shape ({d}, {d})")
        factor, failed = torch.linalg.cholesky_ex(precision.float())
        if int(failed):
            raise BadConfig("Gaussian: precision is not positive definite")
        _hold(self, learnable, mean=mean, factor=factor)

    @property
    def precision(self) -> Tensor:
        """P (d, d)."""
        factor = self.factor.tril()
        return factor @ factor.T

    @property
    def log_z(self) -> Tensor:
        """log of the integral of exp(-E): d log(2 pi) / 2 - log det(P) / 2."""
        return 0.5 * len(self.mean) * math.log(2 * math.pi) - self.factor.diagonal().abs().log().sum()

    def forward(self, x: Tensor, sigma: Sigma = None) -> Tensor:
        """x (B, d), sigma None, a float or (B,) -> E (B,)."""
        factor = self.factor.tril()
        y = (x - self.mean) @ factor
        if sigma is None:
            return 0.5 * (y**2).sum(dim=1)
        variance = _rows(sigma, x) ** 2
        inner = torch.eye(len(factor)).to(factor) + variance[:, None, None] * (factor.T @ factor)
        root = torch.linalg.cholesky(inner)
        whitened = torch.linalg.solve_triangular(root, y[:, :, None], upper=False)[:, :, 0]
        return 0.5 * (whitened**2).sum(dim=1) + root.diagonal(dim1=1, dim2=2).log().sum(dim=1)

    @torch.no_grad()
    def sample(self, n: int, generator: Generator) -> Tensor:
        """n exact draws (n, d)."""
        noise = _normal(n, self.mean, generator)
        return self.mean + torch.linalg.solve_triangular(self.factor.tril(), noise, upper=False, left=False)


class GaussianMixture(nn.Module):
    """E(x) = -log sum_k w_k N(x; m_k, s_k^2 I), normalised: log Z = 0. Smoothed: s_k^2 + sigma^2 for s_k^2.

    Args:
        means: m (K, d).
        sds: s (K,), positive.
        weights: w (K,), positive; divided by their sum.
        learnable: make means, log s and log w parameters.

    Raises:
        BadConfig: shapes differ, or an sd or a weight is not positive.
    """

    means: Tensor
    log_sds: Tensor
    logits: Tensor

    def __init__(self, means: Tensor, sds: Tensor, weights: Tensor, learnable: bool = False):
        super().__init__()
        if means.dim() != 2 or sds.shape != means.shape[:1] or weights.shape != means.shape[:1]:
            raise BadConfig("GaussianMixture: means must be (K, d), sds and weights (K,)")
        if not bool((sds > 0).all() and (weights > 0).all()):
            raise BadConfig("GaussianMixture: sds and weights must be positive")
        _hold(self, learnable, means=means, log_sds=sds.log(), logits=weights.log())

    @property
    def log_z(self) -> Tensor:
        """0: the energy is minus a log density."""
        return self.means.new_zeros(())

    def forward(self, x: Tensor, sigma: Sigma = None) -> Tensor:
        """x (B, d), sigma None, a float or (B,) -> E (B,)."""
        variance = (2 * self.log_sds).exp()[None, :] + _rows(0.0 if sigma is None else sigma, x)[:, None] ** 2
        squared = ((x[:, None, :] - self.means) ** 2).sum(dim=2)
        log_parts = (
            self.logits.log_softmax(dim=0)
            - 0.5 * squared / variance
            - 0.5 * x.shape[1] * (2 * math.pi * variance).log()
        )
        return -log_parts.logsumexp(dim=1)

    @torch.no_grad()
    def sample(self, n: int, generator: Generator) -> Tensor:
        """n exact draws (n, d)."""
        part = torch.multinomial(self.logits.softmax(dim=0), n, replacement=True, generator=generator)
        return self.means[part] + self.log_sds.exp()[part, None] * _normal(n, self.means[0], generator)


class Laplace(nn.Module):
    """E(x) = sum_j |x_j - m_j| / b_j. Smoothed: in each coordinate, with z = x - m and Phi the normal's CDF,

    -sigma^2 / (2 b^2) - log(exp(-z/b) Phi(z/sigma - sigma/b) + exp(z/b) Phi(-z/sigma - sigma/b)).

    Args:
        mean: m (d,).
        scale: b (d,), positive.

    Raises:
        BadConfig: shapes differ, or a scale is not positive.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor):
        super().__init__()
        if mean.dim() != 1 or scale.shape != mean.shape or not bool((scale > 0).all()):
            raise BadConfig("Laplace: mean and scale must be (d,), scale positive")
        _hold(self, False, mean=mean, scale=scale)

    @property
    def log_z(self) -> Tensor:
        """sum_j log(2 b_j)."""
        return (2 * self.scale).log().sum()

    def forward(self, x: Tensor, sigma: Sigma = None) -> Tensor:
        """x (B, d), sigma None, a positive float or (B,) -> E (B,)."""
        z = x - self.mean
        if sigma is None:
            return (z.abs() / self.scale).sum(dim=1)
        s = _rows(sigma, x)[:, None]
        right = -z / self.scale + torch.special.log_ndtr(z / s - s / self.scale)
        left = z / self.scale + torch.special.log_ndtr(-z / s - s / self.scale)
        return -(0.5 * (s / self.scale) ** 2 + torch.logaddexp(right, left)).sum(dim=1)

    @torch.no_grad()
    def sample(self, n: int, generator: Generator) -> Tensor:
        """n exact draws (n, d): the difference of two exponentials."""
        shape = (2, n, len(self.mean))
        u = torch.rand(shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + self.scale * (torch.log1p(-u[0]) - torch.log1p(-u[1]))


class Gamma(nn.Module):
    """E(x) = sum_j r_j x_j - (k_j - 1) log x_j for x > 0, infinite elsewhere; k = 1 is the exponential.

    Args:
        shape: k (d,), positive.
        rate: r (d,), positive.

    Raises:
        BadConfig: shapes differ, or an entry is not positive.
        Unsupported: called with a sigma; the smoothed version has no closed form.
    """

    shape: Tensor
    rate: Tensor

    def __init__(self, shape: Tensor, rate: Tensor):
        super().__init__()
        if shape.dim() != 1 or rate.shape != shape.shape or not bool((shape > 0).all() and (rate > 0).all()):
            raise BadConfig("Gamma: shape and rate must be (d,) and positive")
        _hold(self, False, shape=shape, rate=rate)

    @property
    def log_z(self) -> Tensor:
        """sum_j log Gamma(k_j) - k_j log r_j."""
        return (torch.lgamma(self.shape) - self.shape * self.rate.log()).sum()

    def forward(self, x: Tensor, sigma: Sigma = None) -> Tensor:
        """x (B, d) -> E (B,)."""
        if sigma is not None:
            raise Unsupported("Gamma: the smoothed energy has no closed form")
        inside = x > 0
        safe = torch.where(inside, x, 1.0)  # keeps the gradient finite outside
        values = self.rate * safe - (self.shape - 1) * safe.log()
        return torch.where(inside, values, math.inf).sum(dim=1)

    @torch.no_grad()
    def sample(self, n: int, generator: Generator) -> Tensor:
        """n exact draws (n, d), by the inverse of the distribution function."""
        shape = (n, len(self.shape))
        u = torch.rand(shape, generator=generator, dtype=torch.float64, device=self.shape.device)
        standard = scipy.special.gammaincinv(self.shape.double().cpu().numpy(), u.cpu().numpy())
        return torch.as_tensor(standard).to(self.rate) / self.rate


def _hold(module: nn.Module, learnable: bool, **values: Tensor) -> None:
    for name, value in values.items():
        value = value.detach().float().clone()
        if learnable:
            module.register_parameter(name, nn.Parameter(value))
        else:
            module.register_buffer(name, value)


def _rows(sigma: Tensor | float, x: Tensor) -> Tensor:
    return torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(len(x))


def _normal(n: int, like: Tensor, generator: Generator) -> Tensor:
    return torch.randn((n, len(like)), generator=generator, dtype=like.dtype, device=like.device)
