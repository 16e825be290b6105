"""A discriminator as an energy: what tells data from what a generator makes."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.base import IsotropicBase
from ebm.energies.body import ConvBody, MLPBody

Width = Annotated[int, Field(ge=1)]


class DiscriminatorConfig(Frozen):
    """`form`: which energy the logit f gives; `width`, `depth`: of a perceptron for rows; `widths`: of convolutions for
    images; `base`: a part of f that falls far from the data, or none."""

    kind: Literal["discriminator"] = "discriminator"
    form: Literal["log_d", "log_ratio"] = "log_ratio"
    width: Width = 128
    depth: Width = 3
    widths: tuple[Width, ...] = Field(default=(32, 64, 64), min_length=1)
    base: Literal["none", "gaussian"] = "gaussian"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return DiscriminatorEnergy(shape, self)


class DiscriminatorEnergy(nn.Module):
    """Of the logit f, D = sigma(f) the probability of data:

    form `log_d`: E(x) = -log D(x) = softplus(-f(x)); form `log_ratio`: E(x) = -log D/(1 - D) = -f(x).

    f(x) = g(x) - softplus(w) (|x - m|^2 / (d s^2) - 1): a network, and a base, part of f and trained with it, that is
    zero at the usual distance from the mean of the data and falls without bound, so that nothing far away passes for
    data (m and s^2: mean and mean variance of the rows given to `fit`). Against a generator of density p_g the optimum
    is f = log p(x) / p_g(x) (Goodfellow et al. 2014, proposition 1): the log-ratio form is the energy of the data
    relative to the generator, p(x) = p_g(x) exp(-E(x)) (Che et al. 2020), and nothing at all once the generator is
    perfect. `log_d` flattens to zero where D is sure of data, and ranks alike up to rounding.

    x is (B, *shape); the answer is (B,).
    """

    def __init__(self, shape: tuple[int, ...], config: DiscriminatorConfig):
        super().__init__()
        self.shape, self.form = shape, config.form
        self.scale = IsotropicBase(int(torch.Size(shape).numel()))
        self.body: nn.Module = (
            ConvBody(shape[0], 1, config.widths, False)
            if len(shape) == 3
            else MLPBody(self.scale.dim, 1, config.width, config.depth, False)
        )
        self.base_weight = nn.Parameter(torch.tensor(-1.0)) if config.base == "gaussian" else None

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set m and s^2 from x (N, *shape)."""
        self.scale.fit(x.flatten(1))

    def logit(self, x: Tensor) -> Tensor:
        """f(x), (B,): positive for data."""
        normalised = (x.flatten(1) - self.scale.mean) / self.scale.variance.sqrt()
        given = normalised.reshape(-1, *self.shape) if len(self.shape) == 3 else normalised
        logit = self.body(given, None).squeeze(1)
        if self.base_weight is None:
            return logit
        return logit - F.softplus(self.base_weight) * (normalised.square().mean(1) - 1)

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        del sigma  # of noiseless data only
        logit = self.logit(x)
        return F.softplus(-logit) if self.form == "log_d" else -logit
