"""Families of all real numbers."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor, nn

from ebm.energies.families.base import MIN_VARIANCE, Family, normal, uniform


class Gaussian(Family):
    """With y = x - c: T = (y, y y^T), eta = (l, -P / 2), A = l^T P^-1 l / 2 - log det P / 2 + d log(2 pi) / 2, h = 1.

    The precision is P = L L^T, L lower triangular with diagonal exp(log_diagonal); the mean c + P^-1 l. c, the rows'
    mean, is no parameter: statistics about 0 of rows far from it would cost all digits of a float32 energy."""

    name = "gaussian"
    linear: nn.Parameter
    factor: nn.Parameter
    log_diagonal: nn.Parameter
    centre: Tensor

    def __init__(self, d: int):
        super().__init__()
        self.hold(linear=torch.zeros(d), factor=torch.zeros(d, d), log_diagonal=torch.zeros(d))
        self.register_buffer("centre", torch.zeros(d))

    @property
    def root(self) -> Tensor:
        return self.factor.tril(-1) + self.log_diagonal.exp().diag()

    @property
    def precision(self) -> Tensor:
        """P (d, d)."""
        return self.root @ self.root.T

    @property
    def shift(self) -> Tensor:
        """P^-1 l, (d,): the mean less c."""
        return torch.cholesky_solve(self.linear[:, None], self.root)[:, 0]

    @property
    def mean(self) -> Tensor:
        """(d,)."""
        return self.centre + self.shift

    def natural(self) -> tuple[Tensor, ...]:
        return self.linear, -0.5 * self.precision

    def statistics(self, x: Tensor) -> tuple[Tensor, ...]:
        y = x - self.centre
        return y, y[:, :, None] * y[:, None, :]

    def energy(self, x: Tensor) -> Tensor:  # the same without the (B, d, d) products
        y = x - self.centre
        return 0.5 * (y @ self.root).square().sum(1) - y @ self.linear

    def log_z(self) -> Tensor:
        own = 0.5 * len(self.linear) * math.log(2 * math.pi) - self.log_diagonal.sum()
        return own + 0.5 * self.linear @ self.shift

    def fit(self, x: Tensor) -> None:
        centred = x - x.mean(0)
        covariance = centred.T @ centred / len(x)
        values, vectors = torch.linalg.eigh(covariance)
        values = values.clamp_min(max(MIN_VARIANCE, 1e-6 * float(values.mean())))
        precision = (vectors / values) @ vectors.T
        root = torch.linalg.cholesky((precision + precision.T) / 2)
        self.centre.copy_(x.mean(0))
        # What rounding to float32 leaves of the mean.
        self.linear.copy_(precision @ (x.mean(0) - self.centre.double()))
        self.factor.copy_(root.tril(-1))
        self.log_diagonal.copy_(root.diagonal().log())

    def sample(self, n: int, generator: Generator) -> Tensor:
        noise = normal(n, self.linear, generator)
        return self.mean + torch.linalg.solve_triangular(self.root, noise, upper=False, left=False)


class DiagonalGaussian(Family):
    """With y = x - c: T = (y, y^2), eta = (m / s^2, -1 / (2 s^2)), A = sum m^2 / (2 s^2) + log(2 pi s^2) / 2, h = 1.

    Mean c + m, standard deviation s; c as in `Gaussian`."""

    name = "diagonal_gaussian"
    shift: nn.Parameter
    log_sd: nn.Parameter
    centre: Tensor

    def __init__(self, d: int):
        super().__init__()
        self.hold(shift=torch.zeros(d), log_sd=torch.zeros(d))
        self.register_buffer("centre", torch.zeros(d))

    def natural(self) -> tuple[Tensor, ...]:
        precision = (-2 * self.log_sd).exp()
        return self.shift * precision, -0.5 * precision

    def statistics(self, x: Tensor) -> tuple[Tensor, ...]:
        y = x - self.centre
        return y, y.square()

    def log_z(self) -> Tensor:
        variance = (2 * self.log_sd).exp()
        return (0.5 * self.shift.square() / variance + self.log_sd + 0.5 * math.log(2 * math.pi)).sum()

    def fit(self, x: Tensor) -> None:
        self.centre.copy_(x.mean(0))
        self.shift.copy_(x.mean(0) - self.centre.double())
        self.log_sd.copy_(0.5 * x.var(0, correction=0).clamp_min(MIN_VARIANCE).log())

    def sample(self, n: int, generator: Generator) -> Tensor:
        noise = normal(n, self.log_sd, generator)
        return self.centre + self.shift + self.log_sd.exp() * noise


class Laplace(Family):
    """T = |x - m|, eta = -1 / b, A = sum log(2 b), h = 1. An exponential family for each known m: here the median of
    the rows, which `fit` sets and no objective moves."""

    name = "laplace"
    log_scale: nn.Parameter
    centre: Tensor

    def __init__(self, d: int):
        super().__init__()
        self.hold(log_scale=torch.zeros(d))
        self.register_buffer("centre", torch.zeros(d))

    def natural(self) -> tuple[Tensor, ...]:
        return (-(-self.log_scale).exp(),)

    def statistics(self, x: Tensor) -> tuple[Tensor, ...]:
        return ((x - self.centre).abs(),)

    def log_z(self) -> Tensor:
        return (math.log(2) + self.log_scale).sum()

    def fit(self, x: Tensor) -> None:
        centre = torch.from_numpy(np.median(x.cpu().numpy(), axis=0)).to(x)
        self.centre.copy_(centre)
        self.log_scale.copy_((x - centre).abs().mean(0).clamp_min(MIN_VARIANCE).log())

    def sample(self, n: int, generator: Generator) -> Tensor:
        u = uniform(n, self.log_scale, generator) - 0.5
        draws = self.centre - self.log_scale.exp() * u.sign() * torch.log1p(-2 * u.abs())
        return draws.to(self.log_scale)
