"""Families of zeros and ones, and of counts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ebm.energies.families.base import Family, uniform


class Bernoulli(Family):
    """T = x, eta = log(p / (1 - p)), A = sum softplus(eta), h = 1, of x in {0, 1}."""

    name, support = "bernoulli", "0 and 1"
    logit: nn.Parameter

    def __init__(self, d: int):
        super().__init__()
        self.hold(logit=torch.zeros(d))

    def inside(self, x: Tensor) -> Tensor:
        return (x == 0) | (x == 1)

    def natural(self) -> tuple[Tensor, ...]:
        return (self.logit,)

    def statistics(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,)

    def log_z(self) -> Tensor:
        return F.softplus(self.logit).sum()

    def fit(self, x: Tensor) -> None:
        """p = mean of x; a column that is constant keeps half a row of the other value, as p = 0 has no finite eta."""
        least = 0.5 / len(x)
        self.logit.copy_(torch.logit(x.mean(0).clamp(least, 1 - least)))

    def sample(self, n: int, generator: Generator) -> Tensor:
        return (uniform(n, self.logit, generator) < torch.sigmoid(self.logit)).to(self.logit)


class Poisson(Family):
    """T = x, eta = log r, A = sum r, h = 1 / x!, of x in {0, 1, 2, ...}."""

    name, support = "poisson", "whole numbers from 0"
    log_rate: nn.Parameter

    def __init__(self, d: int):
        super().__init__()
        self.hold(log_rate=torch.zeros(d))

    def inside(self, x: Tensor) -> Tensor:
        return (x >= 0) & (x == x.round())

    def natural(self) -> tuple[Tensor, ...]:
        return (self.log_rate,)

    def statistics(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,)

    def log_base(self, x: Tensor) -> Tensor:
        return -torch.lgamma(x + 1).sum(1)

    def log_z(self) -> Tensor:
        return self.log_rate.exp().sum()

    def fit(self, x: Tensor) -> None:
        self.log_rate.copy_(x.mean(0).clamp_min(0.5 / len(x)).log())

    def sample(self, n: int, generator: Generator) -> Tensor:
        rate = self.log_rate.exp().expand(n, -1).contiguous()
        return torch.poisson(rate, generator=generator)
