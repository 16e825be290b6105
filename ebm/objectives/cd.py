"""Contrastive divergence: short chains that start at the data."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.negatives import Negatives, NegativesConfig
from ebm.objectives.chains import ChainConfig, contrastive_loss, run_chains, saturation, unwrapped
from ebm.objectives.contrast import both_sides
from ebm.samplers.langevin import LangevinConfig
from ebm.types import LossOutput, Sampler


class CDConfig(Frozen):
    """`k_steps` of `sampler` from the data, or from `negatives` of the data, where they are given.

    `l2`: on the energies; `data_noise`: sd of noise added to the data. `k_steps: 0` contrasts with the starts as they
    are: the control that says what the chains are worth.
    """

    kind: Literal["cd"] = "cd"
    k_steps: int = Field(default=10, ge=0)
    negatives: NegativesConfig | None = None
    sampler: ChainConfig = LangevinConfig(step_size=0.1)
    l2: float = Field(default=0.0, ge=0)
    data_noise: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _moves(self) -> CDConfig:
        if self.k_steps == 0 and self.negatives is None:
            raise ValueError("'k_steps' 0 needs 'negatives': data are not told from themselves")
        return self

    def build(self) -> ContrastiveDivergence:
        start = None if self.negatives is None else self.negatives.build()
        return ContrastiveDivergence(self.sampler.build(), self.k_steps, self.l2, self.data_noise, start)


class ContrastiveDivergence:
    """CD-k (Hinton 2002): the loss of `contrastive_loss` with negatives k sampler steps away from the data.

    With `start`, chains begin at corrupted data instead, near the data but off them, from where few steps reach what
    the energy wrongly calls normal (Yoon et al. 2023, whose chains start at moved codes of an autoencoder). Called with
    an energy, x (B, ...) and a generator; gives a scalar loss and real, fake, gap, spread, saturation.
    """

    def __init__(
        self,
        sampler: Sampler,
        k_steps: int,
        l2: float = 0.0,
        data_noise: float = 0.0,
        start: Negatives | None = None,
    ):
        self.sampler, self.k_steps, self.l2, self.data_noise, self.start = (
            sampler,
            k_steps,
            l2,
            data_noise,
            start,
        )

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        if self.start is not None:
            x, begin = both_sides(self.start, energy, x, self.data_noise, generator).chunk(2)
        else:
            if self.data_noise:
                noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
                x = x + self.data_noise * noise
            begin = x
        negatives = run_chains(unwrapped(energy), self.sampler, begin, self.k_steps, generator)
        out = contrastive_loss(energy, x, negatives, self.l2)
        return LossOutput(
            out.loss, out.metrics | {"saturation": saturation(negatives, getattr(self.sampler, "box", None))}
        )

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # chains start afresh at each batch
