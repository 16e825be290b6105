"""Gibbs sampling of energies with hidden units."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.types import StepInfo


class Gibbs:
    """One sweep a step: hidden units given the visible ones, then visible ones given the hidden, by the energy's own
    `gibbs(x, generator)`.

    Each draw is from an exact conditional, so that exp(-F), F the free energy, is left as it is and nothing is ever
    refused. `StepInfo`'s energy is F; there is no gradient, and its norm is 0.

    Raises:
        BadConfig: the energy has no `gibbs`.

    Source: Geman and Geman (1984); in blocks, Hinton (2002).
    """

    temperature = 1.0

    def step(self, energy: Any, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]:
        """One sweep of every chain: x (B, ...) -> x (B, ...), detached; the argument is not changed."""
        sweep = getattr(energy, "gibbs", None)
        if sweep is None:
            raise BadConfig("sampler kind 'gibbs' needs an energy with hidden units to sample")
        x = x.detach()
        values = energy(x).detach()
        return sweep(x, generator).detach(), StepInfo(values, values.new_zeros(len(x)))


class GibbsConfig(Frozen):
    """Settings of `Gibbs`: none."""

    kind: Literal["gibbs"] = "gibbs"
    needs: ClassVar[frozenset[str]] = frozenset({"hidden_units"})

    def build(self) -> Gibbs:
        return Gibbs()
