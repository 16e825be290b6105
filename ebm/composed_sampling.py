"""New samples of several models together: one chain on a weighted sum of energies, or a mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebm.answers import Generated
from ebm.composed_energy import Member, WeightedSum, member, require_sampler
from ebm.config import validate
from ebm.data import concat_rows, take_rows
from ebm.detector import Detector
from ebm.errors import BadInput, Diverged, Unsupported
from ebm.generation import start
from ebm.samplers import (
    AnnealedLangevinConfig,
    LangevinConfig,
    PreconditionedConfig,
    ReplicaExchangeConfig,
)
from ebm.samplers.run import Stage, iterate
from ebm.steps import Progress, Steps

# How step sizes grow with lengths: Langevin's and MALA's are squares of a length.
POWER = {"langevin": 2, "mala": 2, "metropolis": 1, "hmc": 1}


def product_steps(
    detectors: Sequence[Detector],
    weights: Sequence[float],
    n: int,
    *,
    seed: int,
    n_steps: int | None,
    step_size: float | None,
    keep_every: int,
) -> Steps[Progress, None, Generated]:
    """Langevin dynamics on sum_i w_i E_i, E_i the energy that model i samples, at the weights as they are.

    All members are brought into the first one's preprocessed coordinates, exactly: possible where every preprocessing
    is an elementwise affine map of the input, or where all are the same. Where every member is noise-conditional the
    chain is annealed over the levels that all have learnt (the sum of smoothed energies is not the smoothed sum, but
    Langevin steps at each level make it a sound path to the last one: Du et al. 2023); else it is a plain chain, with
    the noise-conditional members at their smallest level. A plain chain is that of the members' own sampler where all
    have the same one (exact where it is), at their shortest step; where they differ, of Langevin dynamics.

    Args:
        step_size: in the sampler's units, of one member; a length in it is divided by the root of the sum of the
            absolute weights.

    Raises:
        Unsupported: a model has no sampler, the coordinates differ, or the noise levels do not overlap.
        BadInput: an argument out of range, or no positive weight. Diverged: a chain left the finite numbers, as it will
            where a negative weight leaves the sum without a lower bound.
    """
    check_arguments(n, seed, n_steps, keep_every)
    if max(weights) <= 0:
        raise BadInput("generation needs a model of positive weight: there is nothing to be like")
    members = [
        member(detector, weight, detectors[0]) for detector, weight in zip(detectors, weights, strict=True)
    ]
    energy = WeightedSum(members)
    stages, noise = _stages(energy, n_steps, step_size)
    device = detectors[0].device
    generator = torch.Generator(device).manual_seed(seed)
    mean, sd = _where_to_start(members)
    x = start(mean, sd, noise, n, generator)
    kept: list[np.ndarray] = []
    for i, total, x, _info in iterate(stages, x, generator):  # noqa: B020 (x is the answer)
        keep = bool(keep_every) and i % keep_every == 0
        if keep:
            kept.append(_to_user(detectors[0], x))
        yield Progress(i, total, kept[-1] if keep else None)
    return Generated.of(_to_user(detectors[0], x), kept if keep_every else None)


def mixture_steps(
    detectors: Sequence[Detector],
    weights: Sequence[float],
    n: int,
    *,
    seed: int,
    n_steps: int | None,
    step_size: float | None,
    keep_every: int,
) -> Steps[Progress, None, Generated]:
    """Each sample by one model's own sampler, the model drawn with probability w_i / sum w.

    No common coordinates are needed. The models' chains advance side by side; those that end first rest.

    Raises:
        Unsupported: a model has no sampler. BadInput, BadConfig: an argument out of range. Diverged: as `generate`.
    """
    check_arguments(n, seed, n_steps, keep_every)
    for detector in detectors:
        require_sampler(detector)
    if len({getattr(detector.preprocessor, "frame", False) for detector in detectors}) > 1:
        raise Unsupported("some of these models give tables, others arrays: their samples cannot be mixed")
    draw = np.random.default_rng(seed)
    share = np.array(weights) / np.sum(weights)
    which = draw.choice(len(share), n, p=share)
    seeds = draw.integers(0, 2**63, len(share))
    runs = [
        (np.flatnonzero(which == k), detector.generate_steps(
            int((which == k).sum()), seed=int(seeds[k]), n_steps=n_steps, step_size=step_size, keep_every=keep_every))
        for k, detector in enumerate(detectors) if (which == k).any()
    ]  # fmt: skip
    rows = np.argsort(np.concatenate([mine for mine, _ in runs]), kind="stable")
    latest: list[Any] = [None] * len(runs)
    done: list[Any] = [None] * len(runs)
    lengths = [0] * len(runs)
    kept: list[Any] = []
    step = 0
    while any(one is None for one in done):
        step += 1
        for k, (_, steps) in enumerate(runs):
            if done[k] is not None:
                continue
            try:
                at = next(steps)
                lengths[k] = at.n_total
                latest[k] = at.snapshot if at.snapshot is not None else latest[k]
            except StopIteration as stop:
                done[k] = stop.value
                latest[k] = stop.value.samples
        if step > max(lengths):
            continue  # the last round, in which the longest chains end
        keep = bool(keep_every) and step % keep_every == 0
        if keep:
            kept.append(take_rows(concat_rows(latest), rows))
        yield Progress(step, max(lengths), kept[-1] if keep else None)
    samples = take_rows(concat_rows([one.samples for one in done]), rows)
    return Generated.of(samples, kept if keep_every else None)


def check_arguments(n: int, seed: int, n_steps: int | None, keep_every: int) -> None:
    """As `Detector.generate_steps` does."""
    if n < 1:
        raise BadInput(f"n must be at least 1, got {n}")
    if not 0 <= seed < 2**63:
        raise BadInput(f"seed must lie in [0, 2^63), got {seed}")
    if n_steps is not None and n_steps < 1:
        raise BadInput(f"n_steps must be at least 1, got {n_steps}")
    if keep_every < 0:
        raise BadInput(f"keep_every must not be negative, got {keep_every}")


def _where_to_start(members: list[Member]) -> tuple[Tensor, Tensor]:
    """Weighted mean and sd of the training rows of the members to be like, in the first one's coordinates."""
    liked = [m for m in members if m.weight > 0]
    total = sum(m.weight for m in liked)
    means = [(m.state.mean - m.way.shift) / m.way.factor for m in liked]
    sds = [m.state.sd / m.way.factor for m in liked]
    shares = [m.weight / total for m in liked]
    mean = sum((s * t for s, t in zip(shares, means, strict=True)), torch.zeros_like(means[0]))
    return mean, sum((s * t for s, t in zip(shares, sds, strict=True)), torch.zeros_like(sds[0]))


def _stages(energy: WeightedSum, n_steps: int | None, step_size: float | None) -> tuple[list[Stage], float]:
    """The stages of the chain in the first model's coordinates, and the noise that its start carries."""
    return _annealed(energy, n_steps, step_size) if energy.annealed else _plain(energy, n_steps, step_size)


def _annealed(energy: WeightedSum, n_steps: int | None, step_size: float | None) -> tuple[list[Stage], float]:
    samplers = [m.sampler for m in energy.members]
    highest = min(m.sampler.sigma_max / m.way.size for m in energy.members)
    lowest = max(m.sampler.sigma_min / m.way.size for m in energy.members)
    n_levels = max(s.n_levels for s in samplers)
    if lowest >= highest and n_levels > 1:
        raise Unsupported(
            "the noise levels of these models do not overlap: there is no chain for all of them"
        )
    boxes = [s.box for s in samplers]
    settings = {
        "sigma_min": lowest,
        "sigma_max": highest,
        "n_levels": n_levels,
        "step_size": min(s.step_size for s in samplers) if step_size is None else step_size,
        "n_steps_per_level": n_steps or max(s.n_steps_per_level for s in samplers),
        "temperature": min(s.temperature for s in samplers) / energy.total,
        "denoise_last": all(s.denoise_last for s in samplers),
        "box": boxes[0] if all(box == boxes[0] for box in boxes) else None,
    }
    sampler = validate(AnnealedLangevinConfig, settings, "generate")
    return sampler.build().stages(energy), sampler.sigma_max


def _plain(energy: WeightedSum, n_steps: int | None, step_size: float | None) -> tuple[list[Stage], float]:
    plain = [m for m in energy.members if not m.annealed]
    length = n_steps or max(m.n_steps for m in plain)
    shared = _shared(energy, length, step_size)
    if shared is not None:
        return shared, 0.0
    if step_size is None:
        step_size = min(_step_of(m) for m in energy.members)
    langevin = [m.sampler.build() for m in plain if isinstance(m.sampler, LangevinConfig)]
    temperature = min((s.temperature for s in langevin), default=1.0) / energy.total
    clips = [s.clip for s in langevin if s.clip is not None]
    boxes = [s.box for s in langevin]
    settings = {
        "step_size": step_size,
        "noise_scale": math.sqrt(2 * step_size * temperature) if step_size > 0 else None,
        "clip": min(clips) if clips and all(m.way.size == 1 for m in energy.members) else None,
        "box": boxes[0] if all(box == boxes[0] for box in boxes) and boxes else None,
    }
    return [Stage(validate(LangevinConfig, settings, "generate").build(), energy, length)], 0.0


def _shared(energy: WeightedSum, length: int, step_size: float | None) -> list[Stage] | None:
    """The chain of the members' common sampler, on the sum itself, for these are exact at temperature 1 only; None
    where Langevin dynamics has to do. Replica exchange, or a preconditioned sampler, goes with members that have its
    inner sampler.

    Raises:
        Unsupported: some member's sampler holds another, and some member moves by neither of the two.
    """
    samplers = [m.sampler for m in energy.members]
    ladders = [s for s in samplers if isinstance(s, ReplicaExchangeConfig)]
    learning = [s for s in samplers if isinstance(s, PreconditionedConfig)]
    kernels = [s.sampler if s in ladders or s in learning else s for s in samplers]
    kinds = sorted({kernel.kind for kernel in kernels})
    if (ladders and learning) or ((ladders or learning) and len(kinds) > 1):
        names = ", ".join(sorted({s.kind for s in samplers} | set(kinds)))
        raise Unsupported(
            f"these models move by different samplers ({names}): a product of them cannot be sampled; a mixture can"
        )
    if len(kinds) > 1 or (kinds == ["langevin"] and not ladders):
        return None
    power = POWER[kinds[0]]
    if step_size is None:
        pairs = zip(kernels, energy.members, strict=True)
        step_size = min(kernel.step_size / m.way.size**power for kernel, m in pairs)
    settings = kernels[0].model_dump() | {"step_size": step_size / energy.total ** (power / 2)}
    if kinds == ["hmc"]:
        settings["n_leapfrog"] = max(kernel.n_leapfrog for kernel in kernels)
        # A mass is in its own model's coordinates.
        one = all(k.mass == kernels[0].mass for k in kernels) and all(m.way.size == 1 for m in energy.members)
        settings["mass"] = kernels[0].mass if one else None
    kernel = validate(type(kernels[0]), settings, "generate")

    def whole(x: Tensor) -> Tensor:
        return energy.total * energy(x)

    if learning:
        longest = max(learning, key=lambda s: s.n_warmup)
        return longest.model_copy(update={"sampler": kernel}).build().stages(whole, length)
    if not ladders:
        return [Stage(kernel.build(), whole, length)]
    hottest = max(ladders, key=lambda s: s.max_temperature)
    return hottest.model_copy(update={"sampler": kernel}).build().stages(whole, length)


def _step_of(m: Member) -> float:
    """A Langevin step for one member, in the first model's coordinates (units of length squared)."""
    if m.annealed:
        own = m.sampler.step_size * m.sampler.sigma_min**2
    else:
        # A random walk and a leapfrog step move by a length l where Langevin's of l^2 / 2 does.
        own = m.sampler.step_size if POWER[m.sampler.kind] == 2 else m.sampler.step_size**2 / 2
    return own / m.way.size**2


def _to_user(detector: Detector, x: Tensor) -> Any:
    if not bool(torch.isfinite(x).all()):
        raise Diverged(
            "the chain left the finite numbers; use a smaller step_size, or smaller negative weights"
        )
    return detector.preprocessor.inverse(x.cpu().numpy())
