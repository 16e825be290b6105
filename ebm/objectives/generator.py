"""Networks that make rows or images of a code drawn from N(0, I)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from ebm.config import Frozen

Width = Annotated[int, Field(ge=1)]


class GeneratorConfig(Frozen):
    """`code`: numbers that an example is made of; `width`, `depth`: of a perceptron for rows; `widths`: channels of
    convolutions for images, from the coarsest level up."""

    code: Width = 16
    width: Width = 128
    depth: Width = 3
    widths: tuple[Width, Width] = (64, 32)

    def build(self, x: Tensor, seed: int) -> CodeGenerator:
        """For examples like x (N, ...); the weights are drawn by `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            shape = tuple(x.shape[1:])
            made = ImageGenerator(shape, self) if len(shape) == 3 else RowGenerator(x, self)
            made.begin()
        return made.to(x.device)


class CodeGenerator(nn.Module):
    """x = G(z), z ~ N(0, I) of `n_code` numbers."""

    def __init__(self, n_code: int):
        super().__init__()
        self.n_code = n_code

    def begin(self) -> None:
        """Weights by which the spread of codes reaches the output (He et al. 2015). An energy told data from examples
        that are too alike learns that data are what is far out, which is the wrong way round."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def sample(self, n: int, generator: Generator) -> Tensor:
        """n examples (n, ...), with gradients to the weights."""
        device = next(self.parameters()).device
        return self(torch.randn((n, self.n_code), generator=generator, device=device))


class RowGenerator(CodeGenerator):
    """G(z) = m + s MLP(z), m and s the mean and standard deviation of the columns of x (N, ...)."""

    mean: Tensor
    sd: Tensor

    def __init__(self, x: Tensor, config: GeneratorConfig):
        super().__init__(config.code)
        sizes = [config.code, *[config.width] * config.depth]
        layers = [
            part for a, b in zip(sizes, sizes[1:], strict=False) for part in (nn.Linear(a, b), nn.SiLU())
        ]
        self.net = nn.Sequential(*layers)
        self.out = nn.Linear(config.width, math.prod(x.shape[1:]))
        self.register_buffer("mean", x.mean(0).cpu())
        self.register_buffer("sd", x.std(0).cpu())

    def forward(self, code: Tensor) -> Tensor:
        return self.mean + self.sd * self.out(self.net(code)).reshape(-1, *self.mean.shape)


class ImageGenerator(CodeGenerator):
    """Dense to a quarter of the size, twice enlarged (nearest) and convolved, tanh: images (C, H, W) in [-1, 1]."""

    def __init__(self, shape: tuple[int, ...], config: GeneratorConfig):
        super().__init__(config.code)
        a, b = config.widths
        self.size, self.start = shape[1:], (a, -(-shape[1] // 4), -(-shape[2] // 4))
        self.dense = nn.Linear(config.code, math.prod(self.start))
        self.middle = nn.Conv2d(a, b, 3, padding=1)
        self.fine = nn.Conv2d(b, b, 3, padding=1)
        self.out = nn.Conv2d(b, shape[0], 3, padding=1)

    def forward(self, code: Tensor) -> Tensor:
        h = F.silu(self.dense(code)).reshape(-1, *self.start)
        h = F.silu(self.middle(F.interpolate(h, scale_factor=2)))
        h = F.silu(self.fine(F.interpolate(h, scale_factor=2)))
        return torch.tanh(self.out(h))[:, :, : self.size[0], : self.size[1]]
