"""The loop that moves chains: whole (`run`) or a step at a time (`iterate`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ebm.errors import BadConfig, Cancelled, Diverged
from ebm.types import EnergyFn, Sampler, StepInfo

OnStep = Callable[[int, int, Tensor, StepInfo], None]
ShouldStop = Callable[[], bool]


class Stage(NamedTuple):
    """`n_steps` steps of one sampler on one energy. A plain run is one stage, an annealed one several."""

    sampler: Sampler
    energy: EnergyFn
    n_steps: int


class Step(NamedTuple):
    """The state after step number `i` (from 1) of `n_total`."""

    i: int
    n_total: int
    x: Tensor
    info: StepInfo


class RunResult(NamedTuple):
    """What a run leaves.

    x: (B, ...) the last state of every chain.
    kept: (n_steps // keep_every, B, ...) the states after steps keep_every, 2 * keep_every, ...; None when
        nothing was to be kept.
    energy_trace: (n_steps,) the chains' mean energy at the start of each step.
    acceptance_rate: share of accepted proposals over all chains and steps; None without a Metropolis step.
    n_steps: the steps done.
    """

    x: Tensor
    kept: Tensor | None
    energy_trace: Tensor
    acceptance_rate: float | None
    n_steps: int


def iterate(stages: Sequence[Stage], x0: Tensor, generator: Generator) -> Iterator[Step]:
    """Yield a `Step` after every step of every stage, for callers that do other things in between.

    Args:
        stages: done in order; each starts where the one before ended.
        x0: (B, ...) the start; not changed.
        generator: on x0's device; the only source of randomness.
    """
    n_total = sum(stage.n_steps for stage in stages)
    x, i = x0.detach(), 0
    for stage in stages:
        for _ in range(stage.n_steps):
            x, info = stage.sampler.step(stage.energy, x, generator)
            i += 1
            yield Step(i, n_total, x, info)


def run_stages(
    stages: Sequence[Stage],
    x0: Tensor,
    generator: Generator,
    *,
    keep_every: int = 0,
    on_step: OnStep | None = None,
    should_stop: ShouldStop | None = None,
) -> RunResult:
    """Run all stages to the end.

    Args:
        stages, x0, generator: as `iterate`.
        keep_every: keep the state after every so many steps; 0 keeps none.
        on_step: called after every step with (i, n_total, x, info); i counts from 1.
        should_stop: asked before every step.

    Raises:
        BadConfig: keep_every or a number of steps is negative.
        Cancelled: `should_stop()` was true.
        Diverged: a chain or its energy is not finite at the end.
    """
    if keep_every < 0:
        raise BadConfig(f"keep_every must be at least 0, not {keep_every}")
    for stage in stages:
        if stage.n_steps < 0:
            raise BadConfig(f"n_steps must be at least 0, not {stage.n_steps}")

    n_total = sum(stage.n_steps for stage in stages)
    kept: list[Tensor] = []
    energies: list[Tensor] = []
    acceptance: list[Tensor] = []
    x, info = x0.detach(), None
    steps = iterate(stages, x0, generator)
    for done in range(n_total):
        if should_stop is not None and should_stop():
            raise Cancelled(f"stopped after {done} of {n_total} steps")
        i, _, x, info = next(steps)
        energies.append(info.energy.mean())
        if info.accepted is not None:
            acceptance.append(info.accepted.double().mean())
        if keep_every and i % keep_every == 0:
            kept.append(x)
        if on_step is not None:
            on_step(i, n_total, x, info)

    if info is not None:
        _check_finite(x, info, n_total)
    return RunResult(
        x=x,
        kept=_stack(kept, x) if keep_every else None,
        energy_trace=torch.stack(energies) if energies else x.new_zeros(0),
        acceptance_rate=float(torch.stack(acceptance).mean()) if acceptance else None,
        n_steps=n_total,
    )


def run(
    sampler: Sampler,
    energy: EnergyFn,
    x0: Tensor,
    n_steps: int,
    generator: Generator,
    *,
    keep_every: int = 0,
    on_step: OnStep | None = None,
    should_stop: ShouldStop | None = None,
) -> RunResult:
    """`n_steps` steps of one sampler on one energy, from x0 (B, ...). The rest is as in `run_stages`."""
    stages = [Stage(sampler, energy, n_steps)]
    return run_stages(stages, x0, generator, keep_every=keep_every, on_step=on_step, should_stop=should_stop)


def _stack(kept: list[Tensor], x: Tensor) -> Tensor:
    return torch.stack(kept) if kept else x.new_zeros((0, *x.shape))


def _check_finite(x: Tensor, info: StepInfo, n_steps: int) -> None:
    # Once, at the end: a check a step would make an accelerator wait, and what is not finite stays so.
    ok = torch.isfinite(x.flatten(1)).all(dim=1) & torch.isfinite(info.energy)
    if not bool(ok.all()):
        chain = int((~ok).nonzero()[0])
        raise Diverged(
            f"chain {chain} of {len(x)} is not finite after {n_steps} steps (lower the step size or clip)"
        )
