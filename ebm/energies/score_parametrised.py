"""An energy made of a denoiser: half the squared residual of f, in units of the noise."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.base import sigma_column
from ebm.energies.body import MLPBody
from ebm.errors import BadInput


class ScoreParametrisedConfig(Frozen):
    """An MLP body of `depth` layers of `width` units inside f."""

    kind: Literal["score_parametrised"] = "score_parametrised"
    width: int = Field(default=128, ge=1)
    depth: int = Field(default=3, ge=1)
    noise_conditional: Literal[True] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return ScoreParametrisedEnergy(shape, self)


class ScoreParametrisedEnergy(nn.Module):
    """E(x, sigma) = |x - f(x, sigma)|^2 / (2 sigma^2), with w = sqrt(s^2 + sigma^2) and
    f(x, sigma) = mean + (1 - sigma / w) (x - mean) + (s sigma / w) U((x - mean) / w, sigma).

    With U = 0 this is |x - mean|^2 / (2 (s^2 + sigma^2)), the exact energy of isotropic Gaussian data with noise sigma,
    up to a constant of sigma. Its gradient is (I - J)^T (x - f) / sigma^2, J the Jacobian of f in x: f is therefore not
    the mean of the clean x, which is x - sigma^2 grad E (Salimans and Ho 2021; their "energy" form). Where f were that
    mean, E would be sigma^2 / 2 times the squared score function, which is no log density. Trained by objective `dsm`
    on its true gradient; E(x, sigma) >= 0, so that the least energies of all levels are comparable.

    x is (B, *shape), flattened; sigma (B,) or a float > 0; the answer is (B,).

    Raises:
        BadInput: called without sigma.
    """

    noise_conditional = True
    mean: Tensor
    variance: Tensor

    def __init__(self, shape: tuple[int, ...], config: ScoreParametrisedConfig):
        super().__init__()
        self.dim = math.prod(shape)
        self.body = MLPBody(self.dim, self.dim, config.width, config.depth, noise_conditional=True)
        nn.init.zeros_(self.body.out.weight)  # starts as the Gaussian
        self.register_buffer("mean", torch.zeros(self.dim))
        self.register_buffer("variance", torch.ones(()))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the mean, and s^2 to the mean variance, from x (N, *shape)."""
        flat = x.flatten(1)
        self.mean.copy_(flat.mean(0))
        self.variance.copy_((flat - self.mean).square().mean().clamp_min(1e-6))

    def f(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """f(x, sigma), (B, d), of x (B, *shape)."""
        flat = x.flatten(1)
        column = sigma_column(sigma, flat)
        wide = (self.variance + column.square()).sqrt()
        centred = flat - self.mean
        gain = self.variance.sqrt() * column / wide
        return self.mean + (1 - column / wide) * centred + gain * self.body(centred / wide, column)

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        if sigma is None:
            raise BadInput("this energy is noise-conditional: pass sigma")
        flat = x.flatten(1)
        residual = (flat - self.f(x, sigma)) / sigma_column(sigma, flat)
        return 0.5 * residual.square().sum(1)
