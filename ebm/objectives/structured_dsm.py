"""Denoising score matching of y given x: pairs without chains."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.objectives.dsm import DenoisingScoreMatching
from ebm.types import LossOutput


class StructuredDSMConfig(Frozen):
    """`sigma`: sd of the noise on y. As wide as y itself or so, what is left to tell y by is x."""

    kind: Literal["structured_dsm"] = "structured_dsm"
    needs: ClassVar[frozenset[str]] = frozenset({"pairs"})
    sigma: float = Field(default=0.5, gt=0)

    def build(self) -> StructuredDSM:
        return StructuredDSM(self.sigma)


class StructuredDSM:
    """mean over rows and parts of y of (sigma * grad_y E(x, y + sigma eps) - eps)^2, eps ~ N(0, I).

    -grad_y E(x, y) then matches the score function of p(y | x) with noise sigma (Vincent 2011, for each x). No chains,
    and no partition function Z(x). Descent on E moves y towards E[y | x, y~ = y], its posterior mean were y a noisy y:
    it ends where y is what x and y itself speak for.

    Called with an energy that has `split` and `join`, rows (B, ...) and a generator.
    """

    def __init__(self, sigma: float):
        self.matching = DenoisingScoreMatching(sigma)

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        given, y = energy.split(x)
        return self.matching(lambda y, sigma: energy(energy.join(given, y)), y, generator)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # nothing is carried from batch to batch
