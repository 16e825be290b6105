"""The energy as half a squared residual of a Gaussian-based network: the project's best score-matched energy."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.base import CovarianceBase, sigma_column
from ebm.energies.body import MLPBody
from ebm.energies.fixed import FixedMLP
from ebm.errors import BadInput
from ebm.types import EnergyFn


class ResidualConfig(Frozen):
    """An MLP body of `depth` layers of `width` units under a full-covariance Gaussian base."""

    kind: Literal["residual"] = "residual"
    width: int = Field(default=256, ge=1)
    depth: int = Field(default=3, ge=1)
    noise_conditional: Literal[True] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return ResidualEnergy(shape, self)


class ResidualEnergy(nn.Module):
    """E(x, sigma) = 1/2 |r|^2 + 1/2 log det(C + sigma^2 I), with
    r = (C + sigma^2 I)^(-1/2) (x - mean) + c(sigma) U(x, sigma) and c(sigma) = .45 / sqrt(sigma^2 + .09).

    The exact energy of Gaussian data with noise sigma when U = 0; U then learns what is not Gaussian. A true scalar
    energy, so its gradient is a conservative field, unlike a denoiser's residual (Salimans and Ho 2021 compare both).

    x is (B, *shape), flattened; sigma (B,) or a float > 0; the answer is (B,).

    Raises:
        BadInput: called without sigma.
    """

    noise_conditional = True

    def __init__(self, shape: tuple[int, ...], config: ResidualConfig):
        super().__init__()
        self.dim = math.prod(shape)
        self.base = CovarianceBase(self.dim)
        self.body = MLPBody(self.dim, self.dim, config.width, config.depth, noise_conditional=True)
        nn.init.zeros_(self.body.out.weight)  # starts as the Gaussian

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set mean and covariance from x (N, *shape)."""
        self.base.fit(x.flatten(1))

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        if sigma is None:
            raise BadInput("this energy is noise-conditional: pass sigma")
        flat = x.flatten(1)
        column = sigma_column(sigma, flat)
        normalised = (flat - self.base.mean) / (self.base.variance + column.square()).sqrt()
        gain = 0.45 / (column.square() + 0.09).sqrt()
        r = self.base.whiten(flat, column) + gain * self.body(normalised, column)
        return 0.5 * r.square().sum(1) + self.base.half_log_det(column)

    @torch.no_grad()
    def at_level(self, sigma: float | None) -> EnergyFn:
        """See `ebm.energies.fixed`."""
        if sigma is None:
            raise BadInput("this energy is noise-conditional: pass sigma")
        base, level = self.base, sigma**2
        body = FixedMLP(self.body, sigma, (base.variance + level).sqrt(), 0.45 / (level + 0.09) ** 0.5)
        whitening = (base.eigenvectors / (base.eigenvalues + level).sqrt()) @ base.eigenvectors.T
        mean, log_det = base.mean.clone(), float(0.5 * (base.eigenvalues + level).log().sum())

        def energy(x: Tensor, /) -> Tensor:
            y = x.flatten(1) - mean
            r = torch.addmm(body(y), y, whitening)
            return 0.5 * r.square().sum(1) + log_det

        return energy
