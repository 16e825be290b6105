"""Structured prediction: an energy of pairs (x, y), whose least over y is the prediction."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.base import IsotropicBase
from ebm.energies.body import MLPBody
from ebm.errors import BadConfig


class StructuredConfig(Frozen):
    """`n_targets`: how many of the last coordinates of a row, or the last channels of an image, are y, the others
    x. `width` units, or channels, in each of `depth` layers of both networks."""

    kind: Literal["structured"] = "structured"
    offers: ClassVar[frozenset[str]] = frozenset({"pairs"})
    n_targets: int = Field(default=1, ge=1)
    width: int = Field(default=64, ge=1)
    depth: int = Field(default=3, ge=1)

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return StructuredEnergy(shape, self)


class StructuredEnergy(nn.Module):
    """E(x, y) = |(x, y) - m|^2 / (2 s^2) - <y, b(x)> + h(x, y), of rows that are pairs, in coordinates (. - m) / s.

    b says how much x speaks for each part of y alone, h how the parts of y go together: the local and the global energy
    of Belanger and McCallum (2016, "Structured prediction energy networks"). The square, alike for all data, keeps y
    from running away. p(y | x) is proportional to exp(-E(x, y)); y is inferred by descent on E (`ebm.inference`), in
    which any function of x alone drops out. Hence compare energies of several y for one x: between different x their
    unknown log Z(x) lies.

    Networks: multilayer perceptrons for rows (B, d); for images (B, C, H, W) residual 3x3 convolutions at full
    resolution, h summed over the pixels. The answer is (B,). Train it by objective `structured`.

    Raises:
        BadConfig: no coordinate, or channel, is left for x.
    """

    def __init__(self, shape: tuple[int, ...], config: StructuredConfig):
        super().__init__()
        self.shape, self.n_targets = shape, config.n_targets
        self.n_given = shape[0] - config.n_targets
        if self.n_given < 1:
            raise BadConfig(
                f"energy kind 'structured': 'n_targets' {config.n_targets} of {shape[0]} leaves nothing to predict from"
            )
        self.scale = IsotropicBase(math.prod(shape))
        self.unary: nn.Module
        self.joint: nn.Module
        if len(shape) == 3:
            self.unary = FullResolution(self.n_given, config.n_targets, config.width, config.depth)
            self.joint = FullResolution(shape[0], 1, config.width, config.depth)
        else:
            self.unary = MLPBody(self.n_given, config.n_targets, config.width, config.depth, False)
            self.joint = MLPBody(shape[0], 1, config.width, config.depth, False)

    def fit(self, x: Tensor) -> None:
        """Set m and s from rows x (N, *shape)."""
        self.scale.fit(x.flatten(1))

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(B, *shape) -> x and y."""
        return rows[:, : self.n_given], rows[:, self.n_given :]

    def join(self, x: Tensor, y: Tensor) -> Tensor:
        """The inverse of `split`."""
        return torch.cat([x, y], 1)

    @property
    def targets(self) -> Tensor:
        """(*shape) bool: the coordinates of y."""
        mask = torch.zeros(self.shape, dtype=torch.bool)
        mask[self.n_given :] = True
        return mask

    def forward(self, rows: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        del sigma  # of noiseless data only
        flat = rows.flatten(1)
        pair = ((flat - self.scale.mean) / self.scale.variance.sqrt()).reshape(rows.shape)
        x, y = self.split(pair)
        alone = (self.call(self.unary, x) * y).flatten(1).sum(1)
        together = self.call(self.joint, pair).flatten(1).sum(1)
        return self.scale(flat, flat.new_zeros(len(flat), 1)) - alone + together

    @staticmethod
    def call(network: nn.Module, x: Tensor) -> Tensor:
        return network(x, None) if isinstance(network, MLPBody) else network(x)


class FullResolution(nn.Module):
    """a_1 = SiLU(conv3 x); a_{l+1} = a_l + SiLU(conv3 a_l); out = conv1 a_L: (B, C, H, W) -> (B, n_out, H, W)."""

    def __init__(self, channels: int, n_out: int, width: int, depth: int):
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.hidden = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth - 1))
        self.out = nn.Conv2d(width, n_out, 1)
        nn.init.normal_(self.out.weight, std=0.5 / width**0.5)  # a quiet head, as that of `MLPBody`
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        a = F.silu(self.first(x))
        for layer in self.hidden:
            a = a + F.silu(layer(a))
        return self.out(a)
