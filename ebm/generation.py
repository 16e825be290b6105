"""The stages of a chain that draws new samples from a detector's energies."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Generator, Tensor, nn

from ebm.answers import Generated, SamplingState
from ebm.classify import one_class
from ebm.config import validate
from ebm.errors import BadConfig, BadInput, Diverged
from ebm.evaluation.chains_report import Recorder
from ebm.preprocessing import Preprocessor
from ebm.samplers import AncestralConfig, AnnealedLangevinConfig, PreconditionedConfig, ReplicaExchangeConfig
from ebm.samplers.run import Stage, iterate
from ebm.steps import Progress, Steps
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


def sampling_energy(terms: nn.ModuleDict, config: SamplingConfig, label: int | str | None = None) -> Energy:
    """The energy that `config` names, by noise level where it names two; of one class where `label` names it.

    Raises:
        Unsupported: a label, where the energy has no classes. BadInput: there is no such class.
    """
    if label is not None:
        return one_class(terms[config.term], label)
    fine: Energy = terms[config.term]
    if config.coarse_term is None or config.switch_sigma is None:
        return fine
    return CoarseToFine(fine, terms[config.coarse_term], config.switch_sigma)


def plan(
    energy: Energy, config: SamplingConfig, n_steps: int | None, step_size: float | None
) -> tuple[list[Stage], float]:
    """The stages to run and the noise (sd) that the start carries beyond the data's own spread.

    `n_steps` is the length of a plain chain, the steps of each level of an annealed one, or the levels of an ancestral
    one, which takes no step size. `step_size` of replica exchange is that of the coldest chains, of a preconditioned
    sampler that where its warm-up begins, which comes before `n_steps`.

    Raises:
        BadInput: a step size for ancestral sampling. BadConfig: a value that the sampler refuses.
    """
    sampler = config.sampler
    changes = {} if step_size is None else {"step_size": step_size}
    if isinstance(sampler, AnnealedLangevinConfig):
        if n_steps is not None:
            changes["n_steps_per_level"] = n_steps
        sampler = validate(AnnealedLangevinConfig, sampler.model_dump() | changes, "generate")
        return sampler.build().stages(energy), sampler.sigma_max
    if isinstance(sampler, AncestralConfig):
        if step_size is not None:
            raise BadInput(
                "step_size: this model samples by ancestral steps, which have none; n_steps sets how many"
            )
        changes = {} if n_steps is None else {"n_levels": n_steps}
        sampler = validate(AncestralConfig, sampler.model_dump() | changes, "generate")
        return sampler.build().stages(energy), sampler.sigma_max
    if isinstance(sampler, ReplicaExchangeConfig | PreconditionedConfig):
        changes = {"sampler": sampler.sampler.model_dump() | changes}
        sampler = validate(type(sampler), sampler.model_dump() | changes, "generate")
        return sampler.build().stages(energy, n_steps or config.n_steps), 0.0
    if changes and "step_size" not in type(sampler).model_fields:
        raise BadInput(
            f"step_size: this model samples by kind '{sampler.kind}', which has none; n_steps sets how many"
        )
    sampler = validate(type(sampler), sampler.model_dump() | changes, "generate")
    return [Stage(sampler.build(), energy, n_steps or config.n_steps)], 0.0


def check_shape(config: SamplingConfig, shape: tuple[int, ...]) -> None:
    """Raises BadConfig where a sampler was told of other rows than these (the mass of HMC); without a model, so that it
    can be said before training."""
    sampler = getattr(config.sampler, "sampler", config.sampler)
    mass = getattr(sampler, "mass", None)
    if mass is not None and len(mass) != math.prod(shape):
        raise BadConfig(f"sampling.sampler.mass: {len(mass)} numbers, for rows of {math.prod(shape)}")


def start(mean: Tensor, sd: Tensor, noise: float, n: int, generator: Generator) -> Tensor:
    """n draws from N(mean, sd^2 + noise^2) per coordinate, (n, *shape)."""
    eps = torch.randn((n, *mean.shape), generator=generator, device=mean.device)
    return mean + (sd.square() + noise**2).sqrt() * eps


def generate_steps(
    preprocessor: Preprocessor,
    energy: Energy,
    config: SamplingConfig,
    state: SamplingState,
    n: int,
    *,
    seed: int,
    n_steps: int | None,
    step_size: float | None,
    keep_every: int,
    diagnose: bool = False,
) -> Steps[Progress, None, Generated]:
    """See `Detector.generate_steps`."""
    if n < 1:
        raise BadInput(f"n must be at least 1, got {n}")
    check_seed(seed)
    if n_steps is not None and n_steps < 1:
        raise BadInput(f"n_steps must be at least 1, got {n_steps}")
    if keep_every < 0:
        raise BadInput(f"keep_every must not be negative, got {keep_every}")
    stages, noise = plan(energy, config, n_steps, step_size)
    generator = torch.Generator(state.mean.device).manual_seed(seed)
    x = start(state.mean, state.sd, noise, n, generator)
    if hasattr(energy, "admissible"):  # of rows of zeros and ones, say
        x = cast(Any, energy).admissible(x)
    kept: list[np.ndarray] = []
    recorder = Recorder(stages) if diagnose else None
    for i, total, x, info in iterate(stages, x, generator):  # noqa: B020 (x is the answer)
        if recorder is not None:
            recorder.add(x, info)
        keep = bool(keep_every) and i % keep_every == 0
        if keep:
            kept.append(to_user(preprocessor, x))
        yield Progress(i, total, kept[-1] if keep else None)
    made = Generated.of(to_user(preprocessor, x), kept if keep_every else None)
    return made if recorder is None else replace(made, diagnostics=recorder.report().as_dict())


def check_seed(seed: int) -> None:
    """Raises BadInput unless 0 <= seed < 2^63."""
    if not 0 <= seed < 2**63:
        raise BadInput(f"seed must lie in [0, 2^63), got {seed}")


def to_user(preprocessor: Preprocessor, x: Tensor) -> np.ndarray:
    """x (n, ...) in user units. Raises Diverged where it is not finite."""
    if not bool(torch.isfinite(x).all()):
        raise Diverged("the chain left the finite numbers; use a smaller step_size")
    return preprocessor.inverse(x.cpu().numpy())
