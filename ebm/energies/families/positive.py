"""Families of positive numbers."""

from __future__ import annotations

import scipy.special
import torch
from torch import Generator, Tensor, nn

from ebm.energies.families.base import MIN_VARIANCE, Family, uniform


class Gamma(Family):
    """T = (log x, x), eta = (k - 1, -r), A = sum log Gamma(k) - k log r, h = 1, of x > 0: shape k, rate r."""

    name, support, within = "gamma", "x > 0", 1.0
    log_shape: nn.Parameter
    log_rate: nn.Parameter

    def __init__(self, d: int):
        super().__init__()
        self.hold(log_shape=torch.zeros(d), log_rate=torch.zeros(d))

    def inside(self, x: Tensor) -> Tensor:
        return x > 0

    def natural(self) -> tuple[Tensor, ...]:
        return self.log_shape.exp() - 1, -self.log_rate.exp()

    def statistics(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.log(), x

    def log_z(self) -> Tensor:
        shape = self.log_shape.exp()
        return (torch.lgamma(shape) - shape * self.log_rate).sum()

    def fit(self, x: Tensor) -> None:
        """log k - digamma(k) = log mean(x) - mean(log x), by Newton in 1/k (Minka 2002); then r = k / mean(x)."""
        mean = x.mean(0)
        gap = (mean.log() - x.log().mean(0)).clamp_min(MIN_VARIANCE)
        k = (3 - gap + ((gap - 3).square() + 24 * gap).sqrt()) / (12 * gap)
        for _ in range(10):
            change = -gap + k.log() - torch.digamma(k)
            k = 1 / (1 / k + change / (k.square() * (1 / k - torch.polygamma(1, k))))
        self.log_shape.copy_(k.log())
        self.log_rate.copy_((k / mean).log())

    def sample(self, n: int, generator: Generator) -> Tensor:
        u = uniform(n, self.log_rate, generator).cpu().numpy()
        standard = scipy.special.gammaincinv(self.log_shape.double().exp().cpu().numpy(), u)
        return (torch.as_tensor(standard).to(self.log_rate) / self.log_rate.exp()).clamp_min(1e-30)


class Exponential(Family):
    """T = x, eta = -r, A = -sum log r, h = 1, of x >= 0."""

    name, support, within = "exponential", "x >= 0", 1.0
    log_rate: nn.Parameter

    def __init__(self, d: int):
        super().__init__()
        self.hold(log_rate=torch.zeros(d))

    def inside(self, x: Tensor) -> Tensor:
        return x >= 0

    def natural(self) -> tuple[Tensor, ...]:
        return (-self.log_rate.exp(),)

    def statistics(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,)

    def log_z(self) -> Tensor:
        return -self.log_rate.sum()

    def fit(self, x: Tensor) -> None:
        self.log_rate.copy_(-x.mean(0).clamp_min(MIN_VARIANCE).log())

    def sample(self, n: int, generator: Generator) -> Tensor:
        u = uniform(n, self.log_rate, generator)
        return (-torch.log1p(-u) / self.log_rate.double().exp()).to(self.log_rate)
