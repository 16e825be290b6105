"""Contrastive divergence of y given x: conditional maximum likelihood for pairs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.objectives.chains import ChainConfig, contrastive_loss, run_chains, saturation, unwrapped
from ebm.samplers.gradient import standard_normal_like
from ebm.samplers.langevin import LangevinConfig
from ebm.types import LossOutput, Sampler


class StructuredObjectiveConfig(Frozen):
    """`k_steps` of `sampler` that move y alone. `start`: chains begin at the data's own y, at noise as wide as y, or
    half of them at each. `l2`: on the energies; `data_noise`: sd of noise added to the data's y, which bounds how steep
    the energy grows about it."""

    kind: Literal["structured"] = "structured"
    needs: ClassVar[frozenset[str]] = frozenset({"pairs"})
    k_steps: int = Field(default=10, ge=1)
    sampler: ChainConfig = LangevinConfig(step_size=0.05)
    start: Literal["data", "noise", "both"] = "both"
    l2: float = Field(default=0.0, ge=0)
    data_noise: float = Field(default=0.0, ge=0)

    def build(self) -> StructuredObjective:
        return StructuredObjective(self.sampler.build(), self.k_steps, self.start, self.l2, self.data_noise)


class StructuredObjective:
    """mean E(x, y) - mean E(x, y~), where y~ is a chain on y with x held: its gradient is that of -log p(y | x).

    As p(y | x) = exp(-E(x, y)) / Z(x), the negative phase averages over y of the same x (LeCun et al. 2006, section 2;
    the chains by Langevin steps as in Du and Mordatch 2019). Chains from the data's y (contrastive divergence, Hinton
    2002) shape E near the truth, those from noise where inference will start.

    Called with an energy that has `split` and `join`, rows (B, ...) and a generator.
    """

    def __init__(
        self,
        sampler: Sampler,
        k_steps: int,
        start: Literal["data", "noise", "both"] = "both",
        l2: float = 0.0,
        data_noise: float = 0.0,
    ):
        self.sampler, self.k_steps, self.start = sampler, k_steps, start
        self.l2, self.data_noise = l2, data_noise

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        plain: Any = unwrapped(energy)
        given, y = plain.split(x)
        if self.data_noise:
            y = y + self.data_noise * standard_normal_like(y, generator)
        begin = self.begin(y, generator)
        moved = run_chains(
            lambda y: plain(plain.join(given, y)), self.sampler, begin, self.k_steps, generator
        )
        out = contrastive_loss(energy, plain.join(given, y), plain.join(given, moved), self.l2)
        box = getattr(self.sampler, "box", None)
        return LossOutput(out.loss, out.metrics | {"saturation": saturation(moved, box)})

    def begin(self, y: Tensor, generator: Generator) -> Tensor:
        """Where chains start, for y (B, ...): noise has the mean and the spread of the batch."""
        if self.start == "data":
            return y
        noise = y.mean() + y.std() * standard_normal_like(y, generator)
        if self.start == "both":
            noise[::2] = y[::2]
        return noise

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # chains start afresh at each batch
