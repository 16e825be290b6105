"""Two views of one row that ought to be told to be of one row."""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ebm.config import Frozen


class RowViewsConfig(Frozen):
    """`noise`: sd added to each number, in that of its column; `mask`: the share of numbers that are taken from another
    row of the batch; `scale`: a row is multiplied about the mean by 1 - scale to 1 + scale."""

    noise: float = Field(default=0.3, ge=0)
    mask: float = Field(default=0.2, ge=0, lt=1)
    scale: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _differ(self) -> RowViewsConfig:
        if not (self.noise or self.mask or self.scale):
            raise ValueError("'views' that change nothing teach nothing: give 'noise', 'mask' or 'scale'")
        return self


class RowViews:
    """x (B, ...), generator -> another view of each row. Masking by another row's value keeps each column's
    distribution (SCARF: Bahri et al. 2022). `mean` and `sd` are of the columns of the training rows."""

    def __init__(self, config: RowViewsConfig, x: Tensor):
        self.config = config
        self.mean, self.sd = x.mean(0), x.std(0)

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        c = self.config

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=x.device, dtype=x.dtype)

        if c.mask:
            other = x[torch.randperm(len(x), generator=generator, device=x.device)]
            x = torch.where(uniform(*x.shape) < c.mask, other, x)
        if c.scale:
            factor = 1 + c.scale * (2 * uniform(len(x), *[1] * (x.dim() - 1)) - 1)
            x = self.mean + factor * (x - self.mean)
        if c.noise:
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            x = x + c.noise * self.sd * noise
        return x
