"""One call that runs chains and says whether to trust them: acceptance, R-hat, ESS, the energy's trace, exchanges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ebm.errors import BadInput
from ebm.evaluation.diagnostics import Acceptance, acceptance, effective_sample_size, split_r_hat
from ebm.samplers.run import Stage, run_stages
from ebm.types import StepInfo

MIN_STEPS = 4  # fewer say nothing of R-hat


@dataclass(frozen=True)
class ChainsReport:
    """What a run of `n_chains` chains says after the first `n_warmup` of its `n_steps` steps.

    acceptance: of Metropolis-corrected samplers, else None. swap_rates: of each pair of neighbouring temperatures,
    coldest first; None without replicas. energy_trace: (n_steps,) the chains' mean energy at the start of every step,
    the warm-up included. r_hat and ess: of the energy (`energy_`) and of the coordinate that is worst in each
    (`worst_`, NaN where coordinates were not kept); NaN where nothing moved or too few steps are left.
    """

    n_chains: int
    n_steps: int
    n_warmup: int
    acceptance: Acceptance | None
    swap_rates: tuple[float, ...] | None
    energy_trace: np.ndarray
    energy_mean: float
    energy_r_hat: float
    energy_ess: float
    worst_r_hat: float
    worst_ess: float

    @property
    def draws(self) -> int:
        """Draws that count: chains times steps after the warm-up."""
        return self.n_chains * (self.n_steps - self.n_warmup)

    def as_dict(self) -> dict[str, Any]:
        """The figures without the trace, None for NaN and infinity: fit for JSON."""
        taken, swaps = self.acceptance, self.swap_rates
        found = {
            "n_chains": self.n_chains,
            "n_steps": self.n_steps,
            "n_warmup": self.n_warmup,
            "acceptance": None if taken is None else _finite(taken.mean),
            "lowest_acceptance": None if taken is None else _finite(taken.lowest),
            "stuck_chains": None if taken is None else taken.stuck,
            "swap_rates": None if swaps is None else [_finite(rate) for rate in swaps],
        }
        names = ("energy_mean", "energy_r_hat", "energy_ess", "worst_r_hat", "worst_ess")
        return found | {name: _finite(getattr(self, name)) for name in names}


class Recorder:
    """Collects what the steps of a run report, for `report`. `coordinates`: how many of x to follow, evenly spaced."""

    def __init__(self, stages: Sequence[Stage], coordinates: int = 0):
        self.stages, self.coordinates = list(stages), coordinates
        self._energies: list[Tensor] = []
        self._accepted: list[Tensor | None] = []
        self._x: list[Tensor] = []

    def add(self, x: Tensor, info: StepInfo) -> None:
        """After each step: the state it led to, x (B, ...), and what it reported."""
        self._energies.append(info.energy)
        self._accepted.append(info.accepted)
        if self.coordinates:
            flat = x.flatten(1)
            n = min(self.coordinates, flat.shape[1])
            self._x.append(flat[:, torch.linspace(0, flat.shape[1] - 1, n).long().to(x.device)])

    def report(self, n_warmup: int | None = None) -> ChainsReport:
        """n_warmup: steps that do not count; None for all but the second half of the last stage, for an annealed run's
        levels are not one density.

        Raises:
            BadInput: nothing was recorded, or n_warmup is not below the steps.
        """
        n = len(self._energies)
        last = self.stages[-1].n_steps if self.stages else n
        warmup = n - (last + 1) // 2 if n_warmup is None else n_warmup
        if not 0 <= warmup < n:
            raise BadInput(f"n_warmup must lie in [0, {n}), the steps of the run, not {warmup}")
        energies = torch.stack(self._energies, 1).double().cpu().numpy()  # (B, n)
        taken = [a for a in self._accepted[warmup:] if a is not None]
        swaps = getattr(self.stages[-1].sampler, "swap_rates", None)
        series = torch.stack(self._x[warmup:], 1).double().cpu().numpy() if self._x else None  # (B, n, k)
        worst = [] if series is None else [_mixing(series[:, :, k]) for k in range(series.shape[2])]
        counted = energies[:, warmup:]
        r_hat, ess = _mixing(counted)
        return ChainsReport(
            n_chains=len(energies),
            n_steps=n,
            n_warmup=warmup,
            acceptance=acceptance(torch.stack(taken, 1).cpu().numpy()) if taken else None,
            swap_rates=swaps,
            energy_trace=energies.mean(0),
            energy_mean=float(counted.mean()),
            energy_r_hat=r_hat,
            energy_ess=ess,
            worst_r_hat=max((r for r, _ in worst), default=math.nan),
            worst_ess=min((e for _, e in worst), default=math.nan),
        )


def diagnose(
    stages: Sequence[Stage],
    x0: Tensor,
    generator: Generator,
    *,
    n_warmup: int | None = None,
    coordinates: int = 64,
) -> ChainsReport:
    """Run all stages from x0 (B, ...) and report; the arguments are those of `run_stages` and `Recorder`.

    Raises:
        BadInput: n_warmup is not below the number of steps. Diverged: as `run_stages`.
    """
    recorder = Recorder(stages, coordinates)
    run_stages(stages, x0, generator, on_step=lambda _i, _n, x, info: recorder.add(x, info))
    return recorder.report(n_warmup)


def _mixing(draws: np.ndarray) -> tuple[float, float]:
    """R-hat and ESS of draws (chains, steps); NaN where they cannot be known."""
    if draws.shape[1] < MIN_STEPS or not np.isfinite(draws).all():
        return math.nan, math.nan
    return split_r_hat(draws), effective_sample_size(draws)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
