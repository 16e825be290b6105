"""Persistent contrastive divergence: chains that go on from where the last batch left them."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.objectives.chains import ChainConfig, contrastive_loss, run_chains, saturation, unwrapped
from ebm.samplers.langevin import LangevinConfig
from ebm.samplers.replay_buffer import ReplayBuffer
from ebm.types import LossOutput, Sampler


class PersistentCDConfig(Frozen):
    """A replay buffer of `buffer_size` chains, of which a share `fresh_share` of each batch restarts from `fresh`.

    Energies of binary rows want `fresh: binary` and `data_noise: 0`.
    """

    kind: Literal["persistent_cd"] = "persistent_cd"
    k_steps: int = Field(default=60, ge=1)
    sampler: ChainConfig = LangevinConfig(step_size=10.0, noise_scale=0.005, clip=0.03, box=(-1.0, 1.0))
    buffer_size: int = Field(default=8192, ge=1)
    fresh_share: float = Field(default=0.05, ge=0, le=1)
    fresh: Literal["uniform", "gaussian", "binary"] = "uniform"
    l2: float = Field(default=0.1, ge=0)
    data_noise: float = Field(default=0.005, ge=0)

    def build(self) -> PersistentCD:
        return PersistentCD(
            self.sampler.build(),
            self.k_steps,
            ReplayBuffer(self.buffer_size, self.fresh_share),
            self.fresh,
            self.l2,
            self.data_noise,
        )


class PersistentCD:
    """Persistent CD (Tieleman 2008) with the replay buffer of Du and Mordatch (2019): loss of `contrastive_loss`.

    `fresh` chains start uniformly in the sampler's box ([-1, 1] without one), from a standard normal, or, where rows
    are zeros and ones, at tosses of a fair coin. The buffer is this objective's only state; it is saved and resumed
    with the run.
    """

    def __init__(
        self,
        sampler: Sampler,
        k_steps: int,
        buffer: ReplayBuffer,
        fresh: Literal["uniform", "gaussian", "binary"] = "uniform",
        l2: float = 0.0,
        data_noise: float = 0.0,
    ):
        self.sampler, self.k_steps, self.buffer, self.fresh = sampler, k_steps, buffer, fresh
        self.l2, self.data_noise = l2, data_noise

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        if self.data_noise:
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            x = x + self.data_noise * noise

        def fresh_chains(n: int, generator: Generator) -> Tensor:
            shape = (n, *x.shape[1:])
            if self.fresh == "gaussian":
                return torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)
            if self.fresh == "binary":
                return torch.randint(0, 2, shape, generator=generator, device=x.device).to(x.dtype)
            low, high = getattr(self.sampler, "box", None) or (-1.0, 1.0)
            return low + (high - low) * torch.rand(shape, generator=generator, device=x.device, dtype=x.dtype)

        start, index = self.buffer.sample(len(x), fresh_chains, generator)
        negatives = run_chains(unwrapped(energy), self.sampler, start, self.k_steps, generator)
        self.buffer.update(index, negatives)
        out = contrastive_loss(energy, x, negatives, self.l2)
        return LossOutput(
            out.loss, out.metrics | {"saturation": saturation(negatives, getattr(self.sampler, "box", None))}
        )

    def state_dict(self) -> dict[str, Tensor]:
        return self.buffer.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.buffer.load_state_dict(state)
