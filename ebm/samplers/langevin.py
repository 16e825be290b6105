"""Unadjusted Langevin dynamics."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.samplers.gradient import energy_and_gradient, row_norm, standard_normal_like
from ebm.types import EnergyFn, StepInfo


class Langevin:
    """x <- x - step_size * clip(dE/dx) + noise_scale * eps,  eps ~ N(0, I), then clamped to the box.

    With the default noise_scale = sqrt(2 * step_size) it samples p(x) ~ exp(-E(x)) up to a bias of the order
    of step_size: on a Gaussian of precision l the variance is 1 / (l * (1 - step_size * l / 2)). Any other
    noise_scale samples exp(-E / temperature), so that training against it learns a tempered energy.

    Args:
        step_size: in units of x squared per unit of energy.
        noise_scale: in units of x; None for sqrt(2 * step_size); 0 is gradient descent.
        clip: bound on the absolute value of each entry of the gradient; None for no bound.
        box: (low, high) to clamp every entry of x to after the step; None for no box.

    Raises:
        BadConfig: an argument is out of range.

    Source: Parisi (1981); Grenander and Miller (1994). For energies of images, with clip and box: Du and
    Mordatch (2019).
    """

    def __init__(
        self,
        step_size: float,
        noise_scale: float | None = None,
        clip: float | None = None,
        box: tuple[float, float] | None = None,
    ):
        if not 0 < step_size < math.inf:
            raise BadConfig(f"Langevin: step_size must be positive and finite, not {step_size}")
        if noise_scale is not None and not 0 <= noise_scale < math.inf:
            raise BadConfig(f"Langevin: noise_scale must be finite and at least 0, not {noise_scale}")
        if clip is not None and not 0 < clip < math.inf:
            raise BadConfig(f"Langevin: clip must be positive and finite, not {clip}")
        if box is not None and not box[0] < box[1]:
            raise BadConfig(f"Langevin: box must be (low, high) with low < high, not {tuple(box)}")
        self.step_size = step_size
        self.noise_scale = math.sqrt(2 * step_size) if noise_scale is None else noise_scale
        self.clip = clip
        self.box = box

    @property
    def temperature(self) -> float:
        """T of the density exp(-E / T) that the chain samples: noise_scale^2 / (2 * step_size)."""
        return self.noise_scale**2 / (2 * self.step_size)

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        """One step of every chain: x (B, ...) -> x (B, ...), detached; the argument is not changed."""
        values, gradient = energy_and_gradient(energy, x)
        if self.clip is not None:
            gradient = gradient.clamp(-self.clip, self.clip)
        moved = x.detach() - self.step_size * gradient
        if self.noise_scale > 0:
            moved = moved + self.noise_scale * standard_normal_like(x, generator)
        if self.box is not None:
            moved = moved.clamp(*self.box)
        return moved, StepInfo(values, row_norm(gradient))


class LangevinConfig(Frozen):
    """Settings of `Langevin`."""

    kind: Literal["langevin"] = "langevin"
    step_size: float
    noise_scale: float | None = None
    clip: float | None = None
    box: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _can_be_built(self) -> LangevinConfig:
        self.build()
        return self

    def build(self) -> Langevin:
        return Langevin(self.step_size, self.noise_scale, self.clip, self.box)
