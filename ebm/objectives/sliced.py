"""Sliced score matching: score functions compared along random directions."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.objectives.curvature import Probes, along, draw_probes, energies_and_gradient, smoothed
from ebm.types import LossOutput


class SlicedScoreMatchingConfig(Frozen):
    """`n_projections` random directions (`probes`) a row; `reduced`: the form of less variance; `data_noise`: sd of
    noise added to the data."""

    kind: Literal["sliced_score_matching"] = "sliced_score_matching"
    n_projections: int = Field(default=1, ge=1)
    probes: Probes = "gaussian"
    reduced: bool = False
    data_noise: float = Field(default=0.0, ge=0)

    def build(self) -> SlicedScoreMatching:
        return SlicedScoreMatching(self.n_projections, self.probes, self.reduced, self.data_noise)


class SlicedScoreMatching:
    """mean over rows and directions v of 1/2 (v' grad E)^2 - v' hess(E) v (Song, Garg, Shi and Ermon 2020, eq. 7).

    Only the parts of the two score functions along v are compared, at the price of one more backward pass a direction
    whatever d is. Where v has covariance I the first term is 1/2 |grad E|^2 on average, and `reduced` puts that in its
    place (their eq. 8, "SSM-VR"): less variance, and the same loss as `score_matching` with Hutchinson's trace.

    On finite data the loss has no lower bound: see `ScoreMatching`, and there what `data_noise` does.

    Called with an energy that can be differentiated twice, x (B, ...) and a generator.
    """

    def __init__(
        self,
        n_projections: int = 1,
        probes: Probes = "gaussian",
        reduced: bool = False,
        data_noise: float = 0.0,
    ):
        self.n_projections, self.reduced, self.data_noise = n_projections, reduced, data_noise
        self.probes: Probes = probes

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        x = smoothed(x, self.data_noise, generator)
        x, energies, gradient = energies_and_gradient(energy, x)
        slices = []
        for _ in range(self.n_projections):
            v = draw_probes(x, self.probes, generator)
            curvature = (v * along(gradient, x, v)).flatten(1).sum(1)
            squared = (
                gradient.flatten(1).square().sum(1)
                if self.reduced
                else (v * gradient).flatten(1).sum(1).square()
            )
            slices.append(0.5 * squared - curvature)
        loss = torch.stack(slices).mean()
        metrics = {"real": float(energies.detach().mean()), "spread": float(energies.detach().std())}
        return LossOutput(loss, metrics)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # nothing is carried from batch to batch
