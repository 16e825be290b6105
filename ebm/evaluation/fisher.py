"""How near a score field, grad log p = -grad E, is to the true one; and what its line integral says."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ebm.errors import BadInput
from ebm.samplers.gradient import energy_and_gradient
from ebm.types import EnergyFn

NODES, WEIGHTS = np.polynomial.legendre.leggauss(5)


class ScoreFit(NamedTuple):
    """fisher_divergence: E_p |s_model - s_true|^2 over rows of p; relative: that by E_p |s_true|^2, 0 to be wished and
    1 what a field of zeros has; cosine: mean cosine of the two fields where neither vanishes."""

    fisher_divergence: float
    relative: float
    cosine: float


def score_fit(model: EnergyFn, truth: EnergyFn, rows: Tensor) -> ScoreFit:
    """The model's score field beside the true one, at rows (N, ...) drawn from the truth.

    Twice Hyvarinen's (2005) objective, without the 1/2; blind to Z and, where modes lie far apart, to their weights.

    Raises:
        BadInput: no rows, or a gradient that is not finite.
    """
    if len(rows) == 0:
        raise BadInput("no rows to compare score fields at")
    a, b = (-energy_and_gradient(energy, rows)[1].double().flatten(1) for energy in (model, truth))
    if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise BadInput("a score field is not finite at one of the rows")
    divergence, relative = fisher_divergence(a, b)
    lengths = a.norm(dim=1) * b.norm(dim=1)
    used = lengths > 1e-12
    cosine = float(((a * b).sum(1)[used] / lengths[used]).mean()) if bool(used.any()) else 0.0
    return ScoreFit(divergence, relative, cosine)


def fisher_divergence(field: Tensor, truth: Tensor) -> tuple[float, float]:
    """E|s - s*|^2 of two score fields (N, d) at the same rows, and that as a share of E|s*|^2."""
    divergence = float((field - truth).square().sum(1).mean())
    return divergence, divergence / max(float(truth.square().sum(1).mean()), 1e-30)


def log_ratio_by_score(energy: EnergyFn, a: Tensor, b: Tensor, n_parts: int = 32) -> Tensor:
    """log p(a) - log p(b) of rows (N, ...) in pairs, (N,) float64, from the score function alone.

    The integral of the score function along the straight line from b to a, by five Gauss-Legendre nodes in each of
    `n_parts` parts; it is E(b) - E(a), as the score function of an energy is a gradient, and needs no Z. On detectors
    and user units see `ebm.compare`.
    """
    if a.shape != b.shape:
        raise BadInput(f"rows are compared in pairs: shapes {tuple(a.shape)} and {tuple(b.shape)} differ")
    edges = np.linspace(0, 1, n_parts + 1)
    half = 0.5 / n_parts
    total = torch.zeros(len(a), dtype=torch.float64, device=a.device)
    for middle in (edges[1:] + edges[:-1]) / 2:
        for node, weight in zip(NODES, WEIGHTS, strict=True):
            gradient = energy_and_gradient(energy, b + float(middle + half * node) * (a - b))[1]
            total -= half * float(weight) * (gradient.double() * (a - b).double()).flatten(1).sum(1)
    return total
