"""The nearest normal version of a row: as little change as brings its energy down to a normal level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ebm.attribution import path_contributions
from ebm.parzen import Parzen, nearest
from ebm.samplers.gradient import energy_and_gradient
from ebm.steps import Steps
from ebm.types import EnergyFn

N_DESCENT = 60
N_NEIGHBOURS = 8
N_BISECT = 12
MAX_PUT_BACK = 64  # columns tried one by one, beyond those that bisection has put back


@dataclass(frozen=True)
class Surroundings:
    """What the search knows besides the energy.

    level: an energy that is normal: E(x*) <= level ends the search.
    target: a lower energy, which the descent aims at, so that there is slack to put columns back.
    owners: (D,) the column of each coordinate; discrete: (D,) coordinates with a fixed set of values.
    project: encoded rows (B, D) -> the nearest valid ones, e.g. one level of each category.
    donors: training rows to move towards where the energy is flat; None where the model keeps none.
    landmarks: (A, D), some rows of low energy, for where none of the nearest donors is normal; not empty.
    """

    level: float
    target: float
    owners: Tensor
    n_columns: int
    discrete: Tensor
    project: Callable[[Tensor], Tensor]
    donors: Parzen | None
    landmarks: Tensor


def nearest_normal(
    energy: EnergyFn, x: Tensor, around: Surroundings, sparse: bool
) -> Steps[None, None, Tensor]:
    """x* (B, D) near x (B, D) with E(x*) <= level, a valid row; x itself where E(x) <= level.

    1. Descend by Polyak's steps (E - target) / |grad E|^2, the least change that would reach the target if E were
       linear, each halved until E falls (Armijo 1966). Rows on which that stalls, or whose valid version is not
       normal, take the nearest of 8 training rows that is, or else of the landmarks.
    2. With `sparse`, put back as many columns as the level allows, those that contribute least first, and see whether
       still fewer would do with values from training rows that resemble x in all other columns: a counterfactual is
       read more easily the fewer columns it changes (Wachter, Mittelstadt and Russell 2018).
    3. Go back along the straight line towards x to where the level is met; columns whose category changes stay.

    Where no point at the level is found, x* is the point of the lowest energy that was met.
    """
    best = x.clone()
    with torch.no_grad():
        at = (energy(x) > around.level).nonzero().squeeze(1)
    if len(at) == 0:
        return best
    start = x[at]
    deep = around.project((yield from descend(energy, start, around.target)))
    deep = replaced_by_donors(energy, start, deep, around)
    yield
    if sparse:
        deep = yield from few_columns(energy, start, deep, around)
    found = yield from pull_back(energy, start, deep, around)
    with torch.no_grad():
        valid = around.project(found)
        valid = torch.where(found == start, start, valid)  # what does not change stays to the last bit
        good = energy(valid) <= around.level
    best[at] = torch.where(good[:, None], valid, deep)
    return best


def descend(energy: EnergyFn, x: Tensor, target: float) -> Steps[None, None, Tensor]:
    """x (B, D) moved down the gradient until E <= target or nothing more is gained."""
    x = x.clone()
    values, gradient = energy_and_gradient(energy, x)
    damping = torch.ones_like(values)
    for _ in range(N_DESCENT):
        steepness = gradient.square().sum(1)
        going = (values > target) & (steepness > 1e-12) & (damping > 1e-4) & torch.isfinite(steepness)
        at = going.nonzero().squeeze(1)
        if len(at) == 0:
            break
        size = damping[at] * (values[at] - target) / steepness[at]
        trial = x[at] - size[:, None] * gradient[at]
        new_values, new_gradient = energy_and_gradient(energy, trial)
        fell = new_values <= values[at] - 0.1 * size * steepness[at]
        damping[at] = torch.where(fell, (2 * damping[at]).clamp_max(1), damping[at] / 4)
        won = at[fell]
        x[won], values[won], gradient[won] = trial[fell], new_values[fell], new_gradient[fell]
        yield
    return x


@torch.no_grad()
def replaced_by_donors(energy: EnergyFn, x: Tensor, deep: Tensor, around: Surroundings) -> Tensor:
    """`deep` with its rows above the level replaced by the nearest normal donor, or by what lies lowest."""
    values = energy(deep)
    bad = (values > around.level).nonzero().squeeze(1)
    if len(bad) == 0:
        return deep
    count = min(N_NEIGHBOURS, len(around.landmarks))
    candidates = nearest(around.landmarks, x[bad], count)
    if around.donors is not None:
        candidates = torch.cat([nearest(around.donors.centres, x[bad], N_NEIGHBOURS), candidates], 1)
    found = torch.stack([energy(candidates[:, i]) for i in range(candidates.shape[1])], 1)
    normal = found <= around.level
    choice = torch.where(normal.any(1), normal.int().argmax(1), found.argmin(1))  # the nearest come first
    rows = torch.arange(len(bad), device=x.device)
    better = found[rows, choice] < values[bad]
    deep = deep.clone()
    deep[bad[better]] = candidates[rows, choice][better]
    return deep


def few_columns(energy: EnergyFn, x: Tensor, deep: Tensor, around: Surroundings) -> Steps[None, None, Tensor]:
    """A version of x (B, D) with E <= level that differs from x in few columns; rows of `deep` above it stay."""
    weights = yield from path_contributions(energy, deep, x, around.owners, around.n_columns)
    rank = weights.neg().argsort(dim=1, stable=True).argsort(dim=1)
    deep = yield from put_back(energy, x, deep, rank, around)
    if around.donors is None:
        return deep
    given = yield from _given(energy, x, deep, rank, around, around.donors)
    at = (given != deep).any(1).nonzero().squeeze(1)
    if len(at):
        given[at] = yield from put_back(energy, x[at], given[at], rank[at], around)
    return given


def put_back(
    energy: EnergyFn, x: Tensor, deep: Tensor, rank: Tensor, around: Surroundings
) -> Steps[None, None, Tensor]:
    """`deep` (B, D) with as many columns as at x as keep E <= level: by bisection over the columns in order of their
    contribution, rank (B, n_columns), then one by one. Rows of `deep` above the level stay as they are."""

    def normal(moved: Tensor) -> Tensor:
        with torch.no_grad():
            return energy(torch.where(moved[:, around.owners], deep, x)) <= around.level

    low = torch.zeros(len(x), dtype=torch.long, device=x.device)
    high = torch.full_like(low, around.n_columns)
    reached = normal(rank < high[:, None])
    for _ in range(around.n_columns.bit_length()):
        middle = (low + high) // 2
        enough = normal(rank < middle[:, None])
        high = torch.where(enough, middle, high)
        low = torch.where(enough, low, (middle + 1).minimum(high))
        yield
    moved = rank < high[:, None]
    for i in range(1, min(int(high.max()), MAX_PUT_BACK) + 1):
        last = high - i
        without = moved & (rank != last[:, None])
        drop = (last >= 0) & normal(without)
        moved = torch.where(drop[:, None], without, moved)
        yield
    return torch.where((moved | ~reached[:, None])[:, around.owners], deep, x)


@torch.no_grad()
def _given(
    energy: EnergyFn, x: Tensor, deep: Tensor, rank: Tensor, around: Surroundings, donors: Parzen
) -> Steps[None, None, Tensor]:
    """`deep`, with rows replaced for which fewer columns do: the first k by rank, for k = 1, 2, 4, ..., as they are in
    one of the donors that are nearest in all other columns. The descent, and whole donors, are misled by an extreme
    cell: they go where that cell is usual."""
    deep = deep.clone()
    columns = torch.zeros(len(x), around.n_columns, device=x.device)
    count = (columns.index_add_(1, around.owners, (deep != x).to(x.dtype)) > 0).sum(1)
    k = 1
    while len(at := (count > k).nonzero().squeeze(1)):
        mask = (rank[at] < k)[:, around.owners]
        distances = donors.squared_distances(x[at], ~mask)
        nearby = donors.centres[distances.topk(min(4, distances.shape[1]), largest=False).indices]
        candidates = torch.where(mask[:, None], nearby, x[at][:, None])
        found = torch.stack([energy(candidates[:, i]) for i in range(candidates.shape[1])], 1)
        value, which = found.min(1)
        good = value <= around.level
        deep[at[good]] = candidates[torch.arange(len(at), device=x.device), which][good]
        count[at[good]] = 0
        k *= 2
        yield
    return deep


def pull_back(energy: EnergyFn, x: Tensor, deep: Tensor, around: Surroundings) -> Steps[None, None, Tensor]:
    """The point on the line from x (t = 0) to deep (t = 1) where E meets the level, by bisection on t.

    Rows of `deep` above the level stay there.
    """
    jumps = torch.zeros(len(x), around.n_columns, device=x.device)
    jumps.index_add_(1, around.owners, ((x != deep) & around.discrete).to(x.dtype))
    start = torch.where(jumps[:, around.owners] > 0, deep, x)
    # A hair below the level, for the answer is still rounded to user units.
    level = around.level - 1e-3 * abs(around.level - around.target)

    def normal(t: Tensor) -> Tensor:
        with torch.no_grad():
            return energy(start + t[:, None] * (deep - start)) <= level

    low = x.new_zeros(len(x))
    high = torch.where(normal(low), low, torch.ones_like(low))
    searched = (high > 0) & normal(high)
    for _ in range(N_BISECT):
        middle = (low + high) / 2
        enough = normal(middle)
        high = torch.where(enough & searched, middle, high)
        low = torch.where(enough, low, middle)
        yield
    return start + high[:, None] * (deep - start)
