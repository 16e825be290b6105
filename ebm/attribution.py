"""How much each column adds to the energy on the way from one row to another."""

from __future__ import annotations

import torch
from torch import Tensor

from ebm.samplers.gradient import energy_and_gradient
from ebm.steps import Steps
from ebm.types import EnergyFn

TOLERANCE = 0.01  # of the energy difference: what the quadrature may be off by before it is refined
MIN_POINTS, MAX_POINTS = 16, 256


def path_contributions(
    energy: EnergyFn, start: Tensor, end: Tensor, owners: Tensor, n_columns: int
) -> Steps[None, None, Tensor]:
    """c_j = sum over the coordinates k of column j of the integral of dE/dx_k dx_k from start to end, (B, n_columns).

    The path is the straight line ("integrated gradients", Sundararajan, Taly and Yan 2017), so sum_j c_j = E(end) -
    E(start). The integral is a midpoint sum, with twice as many points for every row whose sum is off by more than
    1%, up to 256. What is then left (rounding of the quadrature, or a jump of the energy, which has no gradient) is
    shared in proportion to |c_j|, or to the squared displacement where every c_j is 0, so that rows add up exactly.

    Args:
        start, end: (B, D) encoded rows.
        owners: (D,) int64, the column of each coordinate.

    Yields after each pass over the points of a batch, and returns float64.
    """
    with torch.no_grad():
        total = energy(end).double() - energy(start).double()
    delta = end - start
    coordinates = torch.zeros_like(delta, dtype=torch.float64)
    left = (delta != 0).any(1).nonzero().squeeze(1)
    n_points = MIN_POINTS
    while len(left) and n_points <= MAX_POINTS:
        gradient = torch.zeros_like(delta[left], dtype=torch.float64)
        for i in range(n_points):
            point = start[left] + (i + 0.5) / n_points * delta[left]
            gradient += energy_and_gradient(energy, point)[1].double()
            yield
        coordinates[left] = gradient / n_points * delta[left].double()
        off = (coordinates[left].sum(1) - total[left]).abs()
        left = left[~(off <= TOLERANCE * total[left].abs())]
        n_points *= 2
    by_column = sum_by_column(coordinates, owners, n_columns)
    share = by_column.abs()
    silent = share.sum(1) == 0
    share[silent] = sum_by_column(delta.double().square(), owners, n_columns)[silent]
    share = share / share.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    return by_column + (total - by_column.sum(1))[:, None] * share


def sum_by_column(values: Tensor, owners: Tensor, n_columns: int) -> Tensor:
    """(B, D) -> (B, n_columns): the sum over the coordinates of each column."""
    return values.new_zeros(len(values), n_columns).index_add_(1, owners, values)
