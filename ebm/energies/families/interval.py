"""Families of an interval."""

from __future__ import annotations

import math

import numpy as np
import scipy.special
import torch
from torch import Generator, Tensor, nn

from ebm.energies.families.base import MIN_VARIANCE, Family, uniform


class Beta(Family):
    """T = (log x, log(1 - x)), eta = (a - 1, b - 1), A = sum log B(a, b), h = 1, of 0 < x < 1."""

    name, support, within = "beta", "0 < x < 1", 0.5
    log_a: nn.Parameter
    log_b: nn.Parameter

    def __init__(self, d: int):
        super().__init__()
        self.hold(log_a=torch.zeros(d), log_b=torch.zeros(d))

    def inside(self, x: Tensor) -> Tensor:
        return (x > 0) & (x < 1)

    def natural(self) -> tuple[Tensor, ...]:
        return self.log_a.exp() - 1, self.log_b.exp() - 1

    def statistics(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.log(), torch.log1p(-x)

    def log_z(self) -> Tensor:
        a, b = self.log_a.exp(), self.log_b.exp()
        return (torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)).sum()

    def fit(self, x: Tensor) -> None:
        """digamma(a) - digamma(a + b) = mean log x, and so for b, by Newton in (a, b) from the moments' answer."""
        left, right, mean = x.log().mean(0), torch.log1p(-x).mean(0), x.mean(0)
        size = (mean * (1 - mean) / x.var(0).clamp_min(MIN_VARIANCE) - 1).clamp_min(0.1)
        a, b = mean * size, (1 - mean) * size
        for _ in range(50):
            both = torch.polygamma(1, a + b)
            one, other = torch.polygamma(1, a) - both, torch.polygamma(1, b) - both
            f = torch.digamma(a) - torch.digamma(a + b) - left
            g = torch.digamma(b) - torch.digamma(a + b) - right
            det = one * other - both.square()
            # Halved where a whole step would leave the positive numbers.
            a = torch.maximum(a - (other * f + both * g) / det, a / 2)
            b = torch.maximum(b - (both * f + one * g) / det, b / 2)
        self.log_a.copy_(a.log())
        self.log_b.copy_(b.log())

    def sample(self, n: int, generator: Generator) -> Tensor:
        u = uniform(n, self.log_a, generator).cpu().numpy()
        a, b = (p.double().exp().cpu().numpy() for p in (self.log_a, self.log_b))
        draws = torch.as_tensor(scipy.special.betaincinv(a, b, u)).to(self.log_a)
        return draws.clamp(1e-30, 1 - 1e-7)


class VonMises(Family):
    """T = (cos x, sin x), eta = k (cos m, sin m), A = sum log(2 pi I_0(k)), h = 1, of angles -pi <= x <= pi: mean
    direction m, concentration k = |eta|."""

    name, support = "von_mises", "-pi <= x <= pi"
    cosine: nn.Parameter
    sine: nn.Parameter

    def __init__(self, d: int):
        super().__init__()
        self.hold(cosine=torch.full((d,), 1e-3), sine=torch.zeros(d))

    def inside(self, x: Tensor) -> Tensor:
        return x.abs() <= math.pi + 1e-6

    def natural(self) -> tuple[Tensor, ...]:
        return self.cosine, self.sine

    def statistics(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.cos(), x.sin()

    def log_z(self) -> Tensor:
        k = torch.hypot(self.cosine, self.sine)
        return (math.log(2 * math.pi) + torch.special.i0e(k).log() + k).sum()

    def fit(self, x: Tensor) -> None:
        """I_1(k) / I_0(k) = length of the mean of (cos x, sin x), by Newton."""
        cosine, sine = x.cos().mean(0), x.sin().mean(0)
        length = torch.hypot(cosine, sine).clamp(1e-9, 1 - 1e-9)
        k = length * (2 - length.square()) / (1 - length.square())
        for _ in range(20):
            ratio = torch.special.i1e(k) / torch.special.i0e(k)
            k = torch.maximum(k - (ratio - length) / (1 - ratio / k - ratio.square()), k / 2)
        self.cosine.copy_(k * cosine / length)
        self.sine.copy_(k * sine / length)

    def sample(self, n: int, generator: Generator) -> Tensor:
        # numpy's draws, seeded by ours: torch's own take no generator.
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        rng = np.random.default_rng(seed)
        k = torch.hypot(self.cosine, self.sine).double().cpu().numpy()
        mean = torch.atan2(self.sine, self.cosine).double().cpu().numpy()
        return torch.as_tensor(rng.vonmises(mean, k, (n, len(k)))).to(self.cosine)
