"""Inducing points: few rows that stand for many, with the mass and the spread of those they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ebm.energies.kernel import squared_distances


@dataclass(frozen=True)
class InducingPoints:
    """`index` (M,) of the rows chosen, `masses` (M,) summing to N, `member` (N,): which of the M each row is put to."""

    index: Tensor
    masses: Tensor
    member: Tensor

    def spread(self, g: Tensor) -> Tensor:
        """(M,): mean squared distance in g (N, d) of the members to the row that stands for them."""
        squared = (g - g[self.index][self.member]).square().sum(1)
        return torch.zeros_like(self.masses).index_add_(0, self.member, squared) / self.masses


def inducing_points(x: Tensor, m: int, seed: int = 0) -> InducingPoints:
    """k-means centres of x (N, d), each moved to the nearest row (mixture reduction; Scott and Szewczyk 2001).

    Rows, not means, so that levels stay levels in every view.
    """
    from sklearn.cluster import MiniBatchKMeans  # slow to import, and needed only here

    rows = x.numpy().astype(np.float32)
    model = MiniBatchKMeans(
        m, batch_size=max(1024, 4 * m), n_init="auto", max_iter=20, random_state=seed, init="k-means++"
    ).fit(rows)
    means = torch.from_numpy(model.cluster_centers_).to(x.dtype)
    nearest = torch.cat([squared_distances(part, x).argmin(1) for part in means.split(64)]).unique()
    points = x[nearest]
    member = torch.cat([squared_distances(part, points).argmin(1) for part in x.split(1024)])
    masses = torch.bincount(member, minlength=len(nearest)).to(x.dtype)
    keep = masses > 0
    if not bool(keep.all()):
        renumber = keep.cumsum(0) - 1
        nearest, masses, member = nearest[keep], masses[keep], renumber[member]
    return InducingPoints(nearest, masses, member)


def sample(n: int, at_most: int) -> Tensor:
    """Indices of `at_most` of n rows in ascending order, all of them where they are no more; always the same ones."""
    if n <= at_most:
        return torch.arange(n)
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))[:at_most].sort().values
