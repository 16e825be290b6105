"""Layer by layer: contrastive divergence of one machine of a deep belief network, on what the layers below make."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.objectives.cd import ContrastiveDivergence
from ebm.objectives.pcd import PersistentCD
from ebm.samplers.gibbs import Gibbs
from ebm.samplers.replay_buffer import ReplayBuffer
from ebm.types import LossOutput, Objective


class GreedyConfig(Frozen):
    """Trains `layer`, counted from 1, by `k_steps` of Gibbs sampling; one stage of training for each layer, in order.

    `activities`: what the layers below hand up, drawn units or their means. `persistent`: chains go on from batch to
    batch (`buffer_size` of them) and do not start at the data. `tied`: the layer begins as the one below it upside
    down, where the sizes allow it; training it then can only raise the bound on the likelihood.
    """

    kind: Literal["greedy"] = "greedy"
    needs: ClassVar[frozenset[str]] = frozenset({"layers", "binary"})
    layer: int = Field(default=1, ge=1)
    k_steps: int = Field(default=1, ge=1)
    activities: Literal["sample", "mean"] = "sample"
    persistent: bool = False
    buffer_size: int = Field(default=1024, ge=1)
    tied: bool = False

    def build(self) -> Greedy:
        inner: Objective = ContrastiveDivergence(Gibbs(), self.k_steps)
        if self.persistent:
            chains = ReplayBuffer(self.buffer_size, fresh_share=0.0)
            inner = PersistentCD(Gibbs(), self.k_steps, chains, fresh="binary")
        return Greedy(self.layer, inner, self.activities, self.tied)


class Greedy:
    """The loss of CD-k, or of persistent CD, of machine `layer` alone, on rows that the layers below have sent up.

    As each layer is trained the ones below stay as they are, and have no part in the gradient. Before the first step
    its visible biases are set to the mean activities (or the layer is tied, see `GreedyConfig`).

    Called with a deep belief network, x (B, ...) and a generator; metrics as of contrastive divergence.

    Raises:
        BadConfig: the network has no such layer, or it cannot be tied.

    Source: Hinton, Osindero and Teh (2006).
    """

    def __init__(self, layer: int, inner: Objective, activities: str = "sample", tied: bool = False):
        self.layer, self.inner, self.activities, self.tied = layer, inner, activities, tied

    @torch.no_grad()
    def prepare(self, energy: Any, x: Tensor, generator: Generator) -> None:
        machine = self._machine(energy)
        if self.tied:
            below = energy.layer(self.layer - 2) if self.layer > 1 else None
            if below is None or below.weight.shape != machine.weight.T.shape:
                raise BadConfig(f"greedy: layer {self.layer} cannot be tied to the one below: sizes differ")
            machine.weight.copy_(below.weight.T)
            machine.visible_bias.copy_(below.hidden_bias)
            machine.hidden_bias.copy_(below.visible_bias)
            return
        machine.fit(self._handed_up(energy, x, generator))

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        machine = self._machine(energy)
        return self.inner(machine, self._handed_up(energy, x, generator), generator)

    @torch.no_grad()
    def _handed_up(self, energy: Any, x: Tensor, generator: Generator) -> Tensor:
        return energy.up(x, self.layer - 1, generator if self.activities == "sample" else None)

    def _machine(self, energy: Any) -> Any:
        if self.layer > len(energy.layers):
            raise BadConfig(f"greedy: there is no layer {self.layer}; the network has {len(energy.layers)}")
        return energy.layer(self.layer - 1)

    def state_dict(self) -> dict[str, Tensor]:
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.inner.load_state_dict(state)
