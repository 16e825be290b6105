"""What every family of `exponential_family` answers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

MIN_VARIANCE = 1e-8  # a column that does not vary would make a density infinite


class Family(nn.Module):
    """p(x) = h(x) exp(eta . T(x) - A(eta)) of rows x (B, d) of independent coordinates, but for the full Gaussian.

    It holds unconstrained parameters (a log of what is positive), from which eta follows. `within` is a value inside
    the support.
    """

    name: ClassVar[str]
    support: ClassVar[str] = "all real numbers"
    within: ClassVar[float] = 0.0

    def inside(self, x: Tensor) -> Tensor:
        """(B, d) bool: values of the support."""
        return torch.isfinite(x)

    def natural(self) -> tuple[Tensor, ...]:
        """eta, in as many parts as `statistics`, each (d,) or (d, d)."""
        raise NotImplementedError

    def statistics(self, x: Tensor) -> tuple[Tensor, ...]:
        """T(x), each (B, d) or (B, d, d)."""
        raise NotImplementedError

    def log_base(self, x: Tensor) -> Tensor:
        """log h(x), (B,)."""
        return x.new_zeros(len(x))

    def energy(self, x: Tensor) -> Tensor:
        """-eta . T(x) - log h(x) of x (B, d) inside the support, (B,)."""
        parts = zip(self.natural(), self.statistics(x), strict=True)
        return -sum((eta * t).flatten(1).sum(1) for eta, t in parts) - self.log_base(x)

    def log_z(self) -> Tensor:
        """A(eta), ()."""
        raise NotImplementedError

    def fit(self, x: Tensor) -> None:
        """Maximum likelihood from x (N, d) float64."""
        raise NotImplementedError

    def sample(self, n: int, generator: Generator) -> Tensor:
        """n exact draws (n, d)."""
        raise NotImplementedError

    def hold(self, **values: Tensor) -> None:
        """Make these parameters."""
        for name, value in values.items():
            setattr(self, name, nn.Parameter(value.float()))


def uniform(n: int, like: Tensor, generator: Generator) -> Tensor:
    """(n, *like.shape) float64 from [0, 1)."""
    return torch.rand((n, *like.shape), generator=generator, dtype=torch.float64, device=like.device)


def normal(n: int, like: Tensor, generator: Generator) -> Tensor:
    """(n, *like.shape) from N(0, 1)."""
    return torch.randn((n, *like.shape), generator=generator, dtype=like.dtype, device=like.device)
