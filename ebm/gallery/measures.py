"""How near an energy in the plane is to the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ebm.evaluation.fisher import fisher_divergence

BLOCK = 1000  # rows of a matrix of distances at a time


@dataclass(frozen=True)
class FieldMatch:
    """cosine: <s, s*> / (|s| |s*|), inner products in the mean over the data: 1 where the learnt score function s is
    the true one s* up to a factor, a temperature. fisher: E |s - s*|^2 / E |s*|^2, the Fisher divergence as a share of
    that of a field of zeros: 0 is exact, and 1 no better than no field at all (Hyvarinen 2005)."""

    cosine: float
    fisher: float


def match(score: Tensor, truth: Tensor) -> FieldMatch:
    """Of two fields (n, d) at n rows drawn from the data; infinite where the learnt one is not finite."""
    if not bool(torch.isfinite(score).all()):
        return FieldMatch(0.0, float("inf"))
    s, t = score.double(), truth.double()
    own, other = s.square().sum(1).mean(), t.square().sum(1).mean()
    both = (s * t).sum(1).mean()
    cosine = both / (own * other).sqrt().clamp_min(1e-30)
    return FieldMatch(float(cosine), fisher_divergence(s, t)[1])


def energy_distance(x: np.ndarray, y: np.ndarray) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of rows x (n, d), y (m, d), every pair but that of a row with itself
    (Szekely and Rizzo 2013). Zero, on average, for rows of one distribution; may then come out just below."""
    a, b = torch.from_numpy(x).double(), torch.from_numpy(y).double()
    n, m = len(a), len(b)
    within_a, within_b = _total(a, a) / (n * (n - 1)), _total(b, b) / (m * (m - 1))
    return 2 * _total(a, b) / (n * m) - within_a - within_b


def _total(a: Tensor, b: Tensor) -> float:
    exact = "donot_use_mm_for_euclid_dist"
    return sum(float(torch.cdist(part, b, compute_mode=exact).sum()) for part in a.split(BLOCK))
