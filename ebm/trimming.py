"""Training rows that may hold anomalies: which of them to learn from, and which to take for normal."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ebm.energies.inducing import sample
from ebm.energies.kernel import squared_distances
from ebm.energies.views import View

AUTO_DROPPED = 0.3
PER_SHARE = 3.0
MAX_DROPPED = 0.5
NEIGHBOURS = 0.1  # of the rows that a kernel reaches
FENCE, NEAR_FENCE = 1.5, 2.0  # times the distance of the quartiles, above the upper one (Tukey 1977)
NEAR = 5
CORE_STEPS = 2
MIN_ROWS = 20
MAX_CENTRES = 5000
CELLS = 1_000_000  # distances at a time


@dataclass(frozen=True)
class Trimmed:
    """`kept` (n,): indices of the rows to fit. `normal` (m,), m >= n: those and the rows that were dropped only to be
    safe, against which p-values are calibrated. Both ascend. `notes`: for the manifest, where rows were dropped."""

    kept: Tensor
    normal: Tensor
    notes: tuple[str, ...] = ()


@torch.no_grad()
def trim(x: Tensor, contamination: float | str | None) -> Trimmed:
    """Rows of x (N, *shape) to fit, where a share `contamination` of them, or "auto" an unknown one, are anomalies.

    The rows of highest energy

        E(x) = mean over views g of z(-log sum_i exp(-|g(x) - g(x_i)|^2 / m)),   z(E) = (E - mean) / sd,

    are dropped, each row left out of its own sum, with m the median squared distance of a row to the neighbour that
    10% of the rows are nearer than. Anomalies are often alike: a kernel over the 5 nearest rows takes them for
    normal, one as wide as this only where they are as many as its reach.

    Three times the share is dropped, at most half of the rows: no ranking is perfect, and a row too few costs less
    than an anomaly learnt. "auto" drops 30%. So most rows dropped are normal, and p-values against the kept alone
    would be too small for new normal rows. Only those that stand apart are taken to be anomalies, at most the
    `contamination` share where it is given; all others are `normal`, see `stands_apart`. Anomalies among them make
    p-values err on the safe side.
    """
    n = len(x)
    everything = torch.arange(n)
    if contamination is None or n < MIN_ROWS:
        return Trimmed(everything, everything)
    dropped = AUTO_DROPPED if contamination == "auto" else min(MAX_DROPPED, PER_SHARE * float(contamination))
    n_dropped = int(dropped * n)
    if n_dropped == 0:
        return Trimmed(everything, everything)
    flat = x.flatten(1)
    energies, _ = wide_energies(flat, everything)
    order = energies.argsort(stable=True)
    kept = order[: n - n_dropped].sort().values
    apart = stands_apart(flat)
    anomalous = apart > 0
    anomalous[kept] = False
    if contamination != "auto":
        most = apart.where(anomalous, -torch.inf).argsort(stable=True)[n - int(float(contamination) * n) :]
        anomalous &= torch.zeros_like(anomalous).index_fill(0, most, True)
    note = (
        f"{n_dropped} of {n} training rows were not learnt from (contamination {contamination}); "
        f"{int(anomalous.sum())} of them were taken to be anomalies, the others count in the calibration"
    )
    return Trimmed(kept, torch.nonzero(~anomalous).squeeze(1), (note,))


def stands_apart(x: Tensor) -> Tensor:
    """(N,), positive for rows of x (N, d) that are far from the core, or each alone.

    The core is the half of the rows nearest to it, found in two steps from all (concentration steps: Rousseeuw and
    Van Driessen 1999). Compared is the mean over views of the log distance to the neighbour that 10% of the core are
    nearer than, less its upper quartile and 1.5 times the distance of its quartiles (Tukey 1977); likewise to the
    5th neighbour among all rows, with 2 times. In logarithms the tail of a heavy-tailed normal column, or a rare
    cluster, is seldom so far out.
    """
    everything = core = torch.arange(len(x))
    for _ in range(CORE_STEPS):
        _, logs = wide_energies(x, core)
        core = logs.argsort(stable=True)[: (len(x) + 1) // 2].sort().values
    _, far = wide_energies(x, core)
    _, alone = wide_energies(x, everything, NEAR)
    return torch.maximum(far - fence(far, FENCE), alone - fence(alone, NEAR_FENCE))


def fence(values: Tensor, times: float) -> float:
    """Upper quartile + `times` the distance of the quartiles of values (n,)."""
    low, high = values.double().sort().values[[len(values) // 4, 3 * len(values) // 4]].tolist()
    return high + times * (high - low)


def wide_energies(x: Tensor, rows: Tensor, k: int | None = None) -> tuple[Tensor, Tensor]:
    """Of all rows x (N, d), each left out where it is one of `rows`: energies by the wide kernels of `rows`, and log
    distances to the k-th neighbour, which sets the width too (None: 10% of `rows` are nearer); both (N,), means over
    the views."""
    centres = rows[sample(len(rows), MAX_CENTRES)]
    own = torch.full((len(x),), -1, dtype=torch.long)
    own[centres] = torch.arange(len(centres))
    k = max(NEAR, int(NEIGHBOURS * len(centres))) if k is None else k
    k = max(1, min(len(centres) - 1, k))
    energies, logs = [], []
    for name in ("standard", "quantile", "tail"):
        view = View(name, x.shape[1])
        view.fit(x)
        mapped = view(x[centres])
        chunks = torch.arange(len(x)).split(max(1, CELLS // len(centres)))
        reach = torch.cat([_distances(view(x[i]), mapped, own[i]).kthvalue(k).values for i in chunks])
        width = max(float(reach[centres].median()), 1e-3 * x.shape[1])
        energy = torch.cat(
            [-torch.logsumexp(-_distances(view(x[i]), mapped, own[i]) / width, 1) for i in chunks]
        )
        energies.append((energy - energy[rows].mean()) / energy[rows].std().clamp_min(1e-9))
        logs.append(reach.clamp_min(1e-6 * width).log() / 2)
    return torch.stack(energies).mean(0), torch.stack(logs).mean(0)


def _distances(g: Tensor, centres: Tensor, own: Tensor) -> Tensor:
    """(B, M), squared, infinite between a row and itself."""
    distances = squared_distances(g, centres)
    mine = torch.nonzero(own >= 0).squeeze(1)
    distances[mine, own[mine]] = torch.inf
    return distances
