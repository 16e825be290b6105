"""Training rows that may hold anomalies: which of them to learn from."""

from __future__ import annotations

import torch
from torch import Tensor

from ebm.energies.kernel_views import KernelViews, KernelViewsConfig, sample

AUTO_SHARE = 0.1
ROUNDS = 2


@torch.no_grad()
def trim(x: Tensor, contamination: float | str | None) -> tuple[Tensor, tuple[str, ...]]:
    """Indices of the rows of x (N, *shape) to fit, ascending, and a note where some are left out.

    The kernel energies are fitted to the half of the rows with the lowest energy, starting from all of them, which
    anomalies that lie together cannot mask for long (concentration steps: Rousseeuw and Van Driessen 1999); then the
    `contamination` share of highest energy is dropped ("auto": 10%).
    """
    everything = torch.arange(len(x))
    if contamination is None or len(x) < 20:
        return everything, ()
    share = AUTO_SHARE if contamination == "auto" else float(contamination)
    drop = int(share * len(x))
    if drop == 0:
        return everything, ()
    flat = x.flatten(1)
    energies = _energies(flat, everything)
    for _ in range(ROUNDS):
        half = energies.argsort()[: max(10, (len(x) + 1) // 2)].sort().values
        energies = _energies(flat, half)
    kept = energies.argsort()[: len(x) - drop].sort().values
    return kept, (f"{drop} of {len(x)} training rows were taken to be anomalies and not learnt from",)


def _energies(x: Tensor, rows: Tensor) -> Tensor:
    """(N,) energies of all rows by the kernels of `rows`, each of these left out."""
    energy = KernelViews(tuple(x.shape[1:]), KernelViewsConfig(weighting="equal", max_rows=5000))
    energy.fit(x[rows])
    out = torch.cat([energy(part) for part in x.split(1024)])
    own = rows[sample(len(rows), 5000)]
    out[own] = energy.leave_one_out(x[own])
    return out
