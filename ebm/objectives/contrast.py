"""Contrast of data with corrupted data."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.negatives import Negatives, NegativesConfig
from ebm.objectives.chains import figures, unwrapped
from ebm.types import LossOutput


class ContrastConfig(Frozen):
    """`negatives`: what data are told from; `l2` on the energies; `data_noise`: sd of noise on both sides."""

    kind: Literal["contrast"] = "contrast"
    negatives: NegativesConfig = NegativesConfig()
    l2: float = Field(default=1e-3, ge=0)
    data_noise: float = Field(default=0.02, ge=0)

    def build(self) -> Contrast:
        return Contrast(self.negatives.build(), self.l2, self.data_noise)


class Contrast:
    """mean softplus(E(x)) + mean softplus(-E(y)) + l2 mean E^2, y a corrupted version of data x.

    Logistic regression of data against negatives (Gutmann and Hyvarinen 2010, without the known density of the noise):
    its optimum is E = log q(x) - log p(x), the log ratio of the densities of negatives and of data. E then ranks what
    the negatives resemble; elsewhere it says little, which is why such an energy needs a term that grows.
    """

    def __init__(self, negatives: Negatives, l2: float = 0.0, data_noise: float = 0.0):
        self.negatives, self.l2, self.data_noise = negatives, l2, data_noise

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        both = both_sides(self.negatives, energy, x, self.data_noise, generator)
        energies = energy(both)
        real, fake = energies[: len(x)], energies[len(x) :]
        loss = F.softplus(real).mean() + F.softplus(-fake).mean() + self.l2 * energies.square().mean()
        return LossOutput(loss, figures(energies, len(x)))

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # nothing is carried from batch to batch


@torch.no_grad()
def both_sides(negatives: Negatives, energy: Any, x: Tensor, noise: float, generator: Generator) -> Tensor:
    """cat(x, negatives of x) with the same traces removed and the same noise added: (2B, C, H, W)."""
    both = negatives.snapped(torch.cat([x, negatives(unwrapped(energy), x, generator)]))
    if noise:
        both = both + noise * torch.randn(both.shape, generator=generator, device=x.device, dtype=x.dtype)
    return both
