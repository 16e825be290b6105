"""Implicit score matching: the score function is fitted without knowing the data's, and without chains."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.objectives.curvature import Probes, along, draw_probes, energies_and_gradient, smoothed
from ebm.types import LossOutput

MAX_EXACT = 64  # the exact trace takes one backward pass a coordinate


class ScoreMatchingConfig(Frozen):
    """`trace`: of the Hessian: `exact`, one backward pass a coordinate, or `hutchinson`, one for each of
    `n_projections` random `probes`. `data_noise`: sd of noise added to the data."""

    kind: Literal["score_matching"] = "score_matching"
    trace: Literal["exact", "hutchinson"] = "hutchinson"
    n_projections: int = Field(default=1, ge=1)
    probes: Probes = "rademacher"
    data_noise: float = Field(default=0.0, ge=0)

    def build(self) -> ScoreMatching:
        return ScoreMatching(self.trace, self.n_projections, self.probes, self.data_noise)


class ScoreMatching:
    """mean over rows of 1/2 |grad E|^2 - tr(hess E): with the score function s = -grad E, 1/2 |s|^2 + tr(ds/dx).

    By parts of the integral this is the Fisher divergence 1/2 E|s - grad log p|^2 up to a constant of the data
    (Hyvarinen 2005, theorem 1), so that no score function of the data is needed. For Gaussian data its least value is
    -tr(precision) / 2. Summed over coordinates, not averaged: averaging one term alone would change the optimum.

    The trace is exact, or estimated without bias by mean of v' hess(E) v over probes v of unit covariance (Hutchinson
    1990): Rademacher probes have the least variance and are exact at d = 1.

    On finite data the loss has no lower bound: a flexible energy can put a spike on each row. `data_noise` smooths the
    data, the energy is then that of the noisy data, and the loss that of `dsm` up to a constant and with more variance.

    Called with an energy that can be differentiated twice, x (B, ...) and a generator.

    Raises:
        BadConfig: the exact trace of rows of more than 64 numbers.
    """

    def __init__(
        self,
        trace: Literal["exact", "hutchinson"] = "hutchinson",
        n_projections: int = 1,
        probes: Probes = "rademacher",
        data_noise: float = 0.0,
    ):
        self.trace, self.n_projections, self.data_noise = trace, n_projections, data_noise
        self.probes: Probes = probes

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        x = smoothed(x, self.data_noise, generator)
        x, energies, gradient = energies_and_gradient(energy, x)
        trace = self._exact(x, gradient) if self.trace == "exact" else self._estimate(x, gradient, generator)
        loss = (0.5 * gradient.flatten(1).square().sum(1) - trace).mean()
        metrics = {
            "real": float(energies.detach().mean()),
            "spread": float(energies.detach().std()),
            "trace": float(trace.detach().mean()),
        }
        return LossOutput(loss, metrics)

    def _exact(self, x: Tensor, gradient: Tensor) -> Tensor:
        flat = gradient.flatten(1)
        d = flat.shape[1]
        if d > MAX_EXACT:
            raise BadConfig(
                f"objective 'score_matching': trace 'exact' takes {d} backward passes for rows of {d} numbers; "
                f"above {MAX_EXACT} use trace 'hutchinson'"
            )
        directions = torch.eye(d, dtype=x.dtype, device=x.device)
        return sum(
            (
                along(flat, x, direction.expand_as(flat)).flatten(1)[:, i]
                for i, direction in enumerate(directions)
            ),
            start=x.new_zeros(len(x)),
        )

    def _estimate(self, x: Tensor, gradient: Tensor, generator: Generator) -> Tensor:
        probes = [draw_probes(x, self.probes, generator) for _ in range(self.n_projections)]
        return torch.stack([(v * along(gradient, x, v)).flatten(1).sum(1) for v in probes]).mean(0)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # nothing is carried from batch to batch
