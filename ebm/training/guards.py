"""Divergence is detected, never hidden."""

from __future__ import annotations

import math

from ebm.errors import Diverged


class Guard:
    """Looks at each training step's figures and says when the run has gone wrong.

    Args:
        max_energy: largest |mean energy| that is still believed.
        min_spread: smallest standard deviation of the energies of a batch, relative to their size.
        patience: steps for which saturation or collapse must last.
    """

    def __init__(self, max_energy: float = 1e7, min_spread: float = 1e-7, patience: int = 50):
        self.max_energy, self.min_spread, self.patience = max_energy, min_spread, patience
        self.saturated = self.collapsed = 0

    def reset(self) -> None:
        self.saturated = self.collapsed = 0

    def check(self, step: int, figures: dict[str, float]) -> None:
        """`figures`: 'loss', 'gradient_norm', and what the objective has of 'real', 'fake', 'spread', 'saturation'.

        Raises:
            Diverged: with the step and the reason.
        """
        for name, value in figures.items():
            if not math.isfinite(value):
                raise Diverged(f"step {step}: {name} is not finite")
        for name in ("real", "fake"):
            if abs(figures.get(name, 0.0)) > self.max_energy:
                raise Diverged(f"step {step}: energies explode (mean E({name}) = {figures[name]:.3g})")
        self.saturated = self.saturated + 1 if figures.get("saturation", 0.0) > 0.99 else 0
        if self.saturated >= self.patience:
            raise Diverged(f"step {step}: chains are saturated at the box for {self.saturated} steps")
        floor = self.min_spread * (1 + abs(figures.get("real", 0.0)))
        self.collapsed = self.collapsed + 1 if figures.get("spread", math.inf) < floor else 0
        if self.collapsed >= self.patience:
            raise Diverged(f"step {step}: the energy has collapsed to one value for {self.collapsed} steps")
