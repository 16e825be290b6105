"""Structured prediction: the y of least energy for an x, by gradient descent from several starts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ebm.energies import ProductOfExperts, StructuredEnergy
from ebm.samplers.gradient import energy_and_gradient, standard_normal_like
from ebm.steps import Steps
from ebm.types import EnergyFn

N_STEPS = 100
FIRST_STEP, GROW, SHRINK = 0.1, 1.3, 0.4  # of a step, in units of the squared spread of the data


@dataclass(frozen=True)
class Pairs:
    """Rows that are pairs (x, y), flat: `energy` of rows (B, D), which of their coordinates are y, `targets` (D,) bool,
    and the `mean` (D,) and `spread` of the data, from where descent starts."""

    energy: EnergyFn
    targets: Tensor
    mean: Tensor
    spread: float

    @classmethod
    def of(cls, product: ProductOfExperts) -> Pairs | None:
        """By the first term that predicts; None where none does."""
        for term in product.terms.values():
            if isinstance(term, StructuredEnergy):
                return cls.by(term)
        return None

    @classmethod
    def by(cls, energy: StructuredEnergy) -> Pairs:
        shape, device = energy.shape, energy.scale.mean.device
        scale = float(energy.scale.variance.sqrt())
        targets = energy.targets.flatten().to(device)
        return cls(lambda rows: energy(rows.reshape(-1, *shape)), targets, energy.scale.mean, scale)


def descend(
    pairs: Pairs, rows: Tensor, missing: Tensor, n: int, generator: Generator
) -> Steps[None, None, tuple[Tensor, Tensor, None]]:
    """n minima a row (B, n, D) over the `missing` coordinates (B, D) of rows (B, D), and of each row the lowest (B, D).

    The first start is the mean of the data, the others lie about it as wide as the data. A step down the gradient is
    taken where it lowers the energy, so that it never rises; the next is then as long as the curvature along this one
    allows (Barzilai and Borwein 1988), else shorter. Each start goes at its own pace.
    """
    b, d = rows.shape
    start = pairs.mean + pairs.spread * standard_normal_like(rows.new_zeros(b, n, d), generator)
    start[:, 0] = pairs.mean
    x = torch.where(missing[:, None], start, rows[:, None]).reshape(b * n, d)
    hidden = missing.repeat_interleave(n, 0)
    step = x.new_full((b * n, 1), FIRST_STEP * pairs.spread**2)
    values, gradient = energy_and_gradient(pairs.energy, x)
    for _ in range(N_STEPS):
        moved = torch.where(hidden, x - step * gradient, x)
        new_values, new_gradient = energy_and_gradient(pairs.energy, moved)
        better = (new_values < values)[:, None]  # not so where it is no number
        along, bend = moved - x, ((moved - x) * (new_gradient - gradient)).sum(1, keepdim=True)
        longer = torch.where(bend > 0, along.square().sum(1, keepdim=True) / bend, GROW * step)
        step = torch.where(better, longer, SHRINK * step)
        x, gradient = torch.where(better, moved, x), torch.where(better, new_gradient, gradient)
        values = torch.where(better[:, 0], new_values, values)
        yield
    minima = x.reshape(b, n, d)
    lowest = values.reshape(b, n).argmin(1)
    return minima, minima[torch.arange(b, device=x.device), lowest], None
