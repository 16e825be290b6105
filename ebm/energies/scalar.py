"""What the scalar-headed network energies share: the Gaussian base and the noise conditioning."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ebm.energies.base import IsotropicBase, sigma_column
from ebm.energies.log_z import expect
from ebm.errors import BadInput


class ScalarEnergy(nn.Module):
    """E(x) = base(x) + f(x); noise-conditional: E(x, sigma) = base(x, sigma) + f(x / sqrt(s^2+sigma^2), sigma) / sigma.

    x is (B, *shape); sigma (B,) or a float > 0; the answer is (B,).

    Raises:
        BadInput: a noise-conditional energy is called without sigma.
    """

    def __init__(self, shape: tuple[int, ...], noise_conditional: bool, base: str):
        super().__init__()
        self.shape = shape
        self.dim = math.prod(shape)
        self.noise_conditional = noise_conditional
        self.scale = IsotropicBase(self.dim)
        self.use_base = base == "gaussian"
        expect(self)

    def network(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """x (B, d) normalised, sigma (B, 1) or None -> (B, 1)."""
        raise NotImplementedError  # each energy puts its own body here

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the base's mean and variance from x (N, *shape)."""
        self.scale.fit(x.flatten(1))

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        if self.noise_conditional and sigma is None:
            raise BadInput("this energy is noise-conditional: pass sigma")
        flat = x.flatten(1)
        column = sigma_column(sigma if self.noise_conditional else None, flat)
        normalised = (flat - self.scale.mean) / (self.scale.variance + column.square()).sqrt()
        energy = self.network(normalised, column if self.noise_conditional else None).squeeze(1)
        if self.noise_conditional:
            energy = energy / column.squeeze(1)
        return energy + self.scale(flat, column) if self.use_base else energy
