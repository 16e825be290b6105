"""The stages of a chain that draws new samples from a detector's energies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from ebm.config import validate
from ebm.samplers import AnnealedLangevinConfig
from ebm.samplers.run import Stage
from ebm.training.config import SamplingConfig
from ebm.types import Energy


@dataclass(frozen=True)
class CoarseToFine:
    """E(x, sigma) of `coarse` above `switch_sigma`, of `fine` below: a smooth energy finds the mode, a sharp one the
    detail."""

    fine: Energy
    coarse: Energy
    switch_sigma: float

    def __call__(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        # Chains that generate share one level, so the choice is the same for every row.
        level = float(torch.as_tensor(0.0 if sigma is None else sigma).max())
        return (self.coarse if level > self.switch_sigma else self.fine)(x, sigma=sigma)


def sampling_energy(terms: nn.ModuleDict, config: SamplingConfig) -> Energy:
    """The energy that `config` names, by noise level where it names two."""
    fine: Energy = terms[config.term]
    if config.coarse_term is None or config.switch_sigma is None:
        return fine
    return CoarseToFine(fine, terms[config.coarse_term], config.switch_sigma)


def plan(
    energy: Energy, config: SamplingConfig, n_steps: int | None, step_size: float | None
) -> tuple[list[Stage], float]:
    """The stages to run and the noise (sd) that the start carries beyond the data's own spread.

    `n_steps` is the length of a plain chain, or the steps of each level of an annealed one.

    Raises:
        BadConfig: a value that the sampler refuses.
    """
    sampler = config.sampler
    changes = {} if step_size is None else {"step_size": step_size}
    if isinstance(sampler, AnnealedLangevinConfig):
        if n_steps is not None:
            changes["n_steps_per_level"] = n_steps
        sampler = validate(AnnealedLangevinConfig, sampler.model_dump() | changes, "generate")
        return sampler.build().stages(energy), sampler.sigma_max
    sampler = validate(type(sampler), sampler.model_dump() | changes, "generate")
    return [Stage(sampler.build(), energy, n_steps or config.n_steps)], 0.0


def start(mean: Tensor, sd: Tensor, noise: float, n: int, generator: Generator) -> Tensor:
    """n draws from N(mean, sd^2 + noise^2) per coordinate, (n, *shape)."""
    eps = torch.randn((n, *mean.shape), generator=generator, device=mean.device)
    return mean + (sd.square() + noise**2).sqrt() * eps
