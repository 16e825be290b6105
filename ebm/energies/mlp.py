"""A multilayer perceptron as an energy, for rows."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.body import MLPBody
from ebm.energies.fixed import FixedMLP
from ebm.energies.scalar import ScalarEnergy
from ebm.errors import BadInput
from ebm.types import EnergyFn


class MLPConfig(Frozen):
    """`width` units in each of `depth` layers; `base` adds a growing Gaussian energy fitted to the data."""

    kind: Literal["mlp"] = "mlp"
    width: int = Field(default=128, ge=1)
    depth: int = Field(default=3, ge=1)
    noise_conditional: bool = False
    base: Literal["none", "gaussian"] = "gaussian"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return MLPEnergy(shape, self)


class MLPEnergy(ScalarEnergy):
    """E(x) = base(x) + MLP(x), or E(x, sigma) = base(x, sigma) + MLP(x / sqrt(s^2 + sigma^2), sigma) / sigma.

    The 1/sigma makes the network's share of sigma * grad E of order one at every noise level, which is the scale that
    denoising score matching fits (Song and Ermon 2020, "Improved techniques", section 3.3).

    x is (B, *shape), flattened; sigma (B,), a float, or None. The answer is (B,).
    """

    def __init__(self, shape: tuple[int, ...], config: MLPConfig):
        super().__init__(shape, config.noise_conditional, config.base)
        self.body = MLPBody(self.dim, 1, config.width, config.depth, config.noise_conditional)

    def network(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        return self.body(x, sigma)

    @torch.no_grad()
    def at_level(self, sigma: float | None) -> EnergyFn:
        """See `ebm.energies.fixed`."""
        if self.noise_conditional and sigma is None:
            raise BadInput("this energy is noise-conditional: pass sigma")
        level = sigma if self.noise_conditional and sigma is not None else 0.0
        total = self.scale.variance + level**2
        body = FixedMLP(self.body, level, total.sqrt(), 1 / level if self.noise_conditional else 1.0)
        mean, half_precision = self.scale.mean.clone(), float(1 / (2 * total))
        log_det = float(0.5 * self.dim * total.log())

        def energy(x: Tensor, /) -> Tensor:
            y = x.flatten(1) - mean
            network = body(y).squeeze(1)
            return network + y.square().sum(1) * half_precision + log_det if self.use_base else network

        return energy
