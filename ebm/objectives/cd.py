"""Contrastive divergence: short chains that start at the data."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.objectives.chains import ChainConfig, contrastive_loss, run_chains, saturation, unwrapped
from ebm.samplers.langevin import LangevinConfig
from ebm.types import LossOutput, Sampler


class CDConfig(Frozen):
    """`k_steps` of `sampler` from the data; `l2` on the energies; `data_noise`: sd of noise added to the data."""

    kind: Literal["cd"] = "cd"
    k_steps: int = Field(default=10, ge=1)
    sampler: ChainConfig = LangevinConfig(step_size=0.1)
    l2: float = Field(default=0.0, ge=0)
    data_noise: float = Field(default=0.0, ge=0)

    def build(self) -> ContrastiveDivergence:
        return ContrastiveDivergence(self.sampler.build(), self.k_steps, self.l2, self.data_noise)


class ContrastiveDivergence:
    """CD-k (Hinton 2002): the loss of `contrastive_loss` with negatives k sampler steps away from the data.

    Called with an energy, x (B, ...) and a generator; gives a scalar loss and real, fake, gap, spread, saturation.
    """

    def __init__(self, sampler: Sampler, k_steps: int, l2: float = 0.0, data_noise: float = 0.0):
        self.sampler, self.k_steps, self.l2, self.data_noise = sampler, k_steps, l2, data_noise

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        if self.data_noise:
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            x = x + self.data_noise * noise
        negatives = run_chains(unwrapped(energy), self.sampler, x, self.k_steps, generator)
        out = contrastive_loss(energy, x, negatives, self.l2)
        return LossOutput(
            out.loss, out.metrics | {"saturation": saturation(negatives, getattr(self.sampler, "box", None))}
        )

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # chains start afresh at each batch
