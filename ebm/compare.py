"""How much likelier one row is than another, and where on the way between them the difference arises."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebm import cells
from ebm.energies import ProductOfExperts
from ebm.errors import BadInput
from ebm.preprocessing import Preprocessor
from ebm.samplers.gradient import energy_and_gradient
from ebm.steps import Progress, Steps

MIN_POINTS, MAX_POINTS = 2, 1025
PART, MAX_CELLS = 256, 1 << 22  # points of one pass, and their coordinates: bounds memory
NODES, WEIGHTS = np.polynomial.legendre.leggauss(2)
TOLERANCE = (
    0.01  # of the log ratio (or of 1, where that is smaller): what the quadrature may be off without a word
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Of N pairs (a, b), and m points of each path where one was asked for.

    log_ratio: (N,) log p(a) - log p(b) = E(b) - E(a), float64; the partition function cancels.
    energy_a, energy_b: (N,).
    path_integral: (N,) the integral of the score function -grad E along the straight line from b to a.
    quadrature_error: (N,) path_integral - log_ratio, which would be 0 for an exact integral of a smooth energy.
    position: (m,) from 0 (at a) to 1 (at b), evenly.
    path_energy: (N, m) E at these points.
    note: what the numbers do not say, in a line or two; None where there is nothing to add.
    """

    log_ratio: np.ndarray
    energy_a: np.ndarray
    energy_b: np.ndarray
    path_integral: np.ndarray | None
    quadrature_error: np.ndarray | None
    position: np.ndarray | None
    path_energy: np.ndarray | None
    note: str | None


def compare_steps(
    preprocessor: Preprocessor,
    product: ProductOfExperts,
    energies: Callable[[Any], np.ndarray],
    a: Any,
    b: Any,
    *,
    path: bool = True,
    n_points: int = 33,
) -> Steps[Progress, None, Comparison]:
    """See `Detector.compare`. Pauses after every pass over a part of the points.

    The path is x(t) = a + t (b - a) in preprocessed coordinates, and

        log p(a) - log p(b) = E(b) - E(a) = integral over t in [0, 1] of grad E(x(t)) . (b - a)

    by two Gauss-Legendre nodes in each of the n_points - 1 intervals, so the error falls with the 4th power of their
    width where E is smooth.

    Args:
        energies: rows in user units -> E (N,), as the detector scores them.

    Raises:
        BadInput: rows that do not fit (the message says whether of a or of b), numbers of rows that do not go together,
            or n_points out of range.
    """
    if path and not MIN_POINTS <= n_points <= MAX_POINTS:
        raise BadInput(f"n_points must lie in [{MIN_POINTS}, {MAX_POINTS}], got {n_points}")
    (x_a, energy_a), (x_b, energy_b) = (
        _side(name, rows, preprocessor, energies) for name, rows in (("a", a), ("b", b))
    )
    n = _pairs(len(x_a), len(x_b))
    energy_a, energy_b = (np.broadcast_to(e, n) for e in (energy_a, energy_b))
    x_a, x_b = (x.expand(n, *x.shape[1:]) for x in (x_a, x_b))
    with np.errstate(invalid="ignore"):  # both infinitely far: their difference is not a number
        log_ratio = energy_b.astype(np.float64) - energy_a.astype(np.float64)
    notes = _tempered(product)
    if not path:
        yield Progress(1, 1)
        return Comparison(log_ratio, energy_a, energy_b, None, None, None, None, _join(notes))
    device = product.scales.device
    position = np.linspace(0.0, 1.0, n_points)
    middles, half = (position[1:] + position[:-1]) / 2, 0.5 / (n_points - 1)
    nodes = (middles[:, None] + half * NODES).ravel()
    weights = np.tile(half * WEIGHTS, n_points - 1)
    n_total = n * (len(nodes) + n_points)
    done = 0
    slopes = np.empty((n, len(nodes)))
    for rows, points, x, delta in _parts(x_a, x_b, nodes, device):
        gradient = energy_and_gradient(product, x)[1]
        slopes[rows, points] = (gradient.double() * delta.double()).flatten(1).sum(1).cpu().numpy()
        done += len(x)
        yield Progress(done, n_total)
    path_energy = np.empty((n, n_points), np.float32)
    for rows, points, x, _ in _parts(x_a, x_b, position, device):
        with torch.no_grad():
            path_energy[rows, points] = product(x).float().cpu().numpy()
        done += len(x)
        yield Progress(done, n_total)
    with np.errstate(invalid="ignore"):
        integral = (slopes * weights).sum(1)
        error = integral - log_ratio
    notes += _between_levels(preprocessor, x_a, x_b) + _coarse(log_ratio, error)
    return Comparison(log_ratio, energy_a, energy_b, integral, error, position, path_energy, _join(notes))


def _side(
    name: str, rows: Any, preprocessor: Preprocessor, energies: Callable[[Any], np.ndarray]
) -> tuple[Tensor, np.ndarray]:
    try:
        return torch.from_numpy(preprocessor.transform(rows)), energies(rows)
    except BadInput as error:
        raise BadInput(f"{name}: {error}", row=error.row, column=error.column) from None


def _pairs(n_a: int, n_b: int) -> int:
    if min(n_a, n_b) == 0:
        raise BadInput(f"{'a' if n_a == 0 else 'b'}: no rows")
    if n_a != n_b and 1 not in (n_a, n_b):
        raise BadInput(
            f"a has {n_a} rows and b has {n_b}: rows are compared in pairs, or one with all of the others"
        )
    return max(n_a, n_b)


def _parts(a: Tensor, b: Tensor, position: np.ndarray, device: torch.device):
    """The points a + t (b - a) of all pairs, some at a time: (their pairs, their positions, x, b - a)."""
    total = len(a) * len(position)
    size = max(1, min(PART, MAX_CELLS // max(1, math.prod(a.shape[1:]))))
    for first in range(0, total, size):
        rows, points = np.divmod(np.arange(first, min(first + size, total)), len(position))
        start = a[rows].to(device)
        delta = b[rows].to(device) - start
        t = torch.from_numpy(position[points]).to(start).reshape(-1, *[1] * (a.dim() - 1))
        yield rows, points, start + t * delta, delta


def _tempered(product: ProductOfExperts) -> list[str]:
    n = len(product.experts)
    if n == 1 and product.experts[0].weight == 1:
        return []
    how, what = "weighted sum", "tempered product"
    if product.link == "soft_min":
        how, what = "soft minimum", "mixture of tempered"
    return [
        f"the ratio is of this model's own density exp(-E): E is a {how} of {n} standardised energies, a "
        f"{what} of experts, so it ranks rows but is no likelihood ratio of the data"
    ]


def _between_levels(preprocessor: Preprocessor, a: Tensor, b: Tensor) -> list[str]:
    """Columns of categories and the like in which some pair differs: on the way they take values that no row has."""
    moved = (a != b).flatten(1).any(0) & cells.discrete(preprocessor)
    columns = sorted(set(cells.owners(preprocessor)[moved].tolist()))
    if not columns:
        return []
    names = preprocessor.columns
    said = ", ".join(f"'{names[c]}'" if names else str(c) for c in columns[:5])
    said += f" and {len(columns) - 5} more" if len(columns) > 5 else ""
    return [
        f"the path leaves the data: between two levels of column {said} there are no rows; the integral still gives "
        "the difference, but the energies on the way are of rows that cannot be"
    ]


def _coarse(log_ratio: np.ndarray, error: np.ndarray) -> list[str]:
    off = np.abs(error) > TOLERANCE * np.maximum(1.0, np.abs(log_ratio))
    if not off.any():
        return []
    worst = int(np.nanargmax(np.where(off, np.abs(error), -1.0)))
    return [
        f"the path integral of pair {worst} is off by {error[worst]:.3g}: give more n_points, or the energy jumps there"
    ]


def _join(notes: list[str]) -> str | None:
    return "; ".join(notes) or None
