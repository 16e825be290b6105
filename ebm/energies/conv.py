"""A convolutional network as an energy, for images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.body import ConvBody
from ebm.energies.scalar import ScalarEnergy
from ebm.errors import BadConfig


class ConvConfig(Frozen):
    """`widths`: channels after each stride-2 convolution."""

    kind: Literal["conv"] = "conv"
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(32, 64, 64), min_length=1)
    noise_conditional: bool = False
    base: Literal["none", "gaussian"] = "gaussian"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return ConvEnergy(shape, self)


class ConvEnergy(ScalarEnergy):
    """As `MLPEnergy`, with a strided convolutional body over x (B, C, H, W).

    Raises:
        BadConfig: the data are not images (C, H, W).
    """

    def __init__(self, shape: tuple[int, ...], config: ConvConfig):
        if len(shape) != 3:
            raise BadConfig(f"energy kind 'conv' needs images (C, H, W); the data have shape {tuple(shape)}")
        super().__init__(shape, config.noise_conditional, config.base)
        self.body = ConvBody(shape[0], 1, config.widths, config.noise_conditional)

    def network(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        return self.body(x.reshape(-1, *self.shape), sigma)
