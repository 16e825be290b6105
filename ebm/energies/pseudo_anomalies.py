"""Rows that are not from the data but made of it: what an energy should find unusual, known without any label."""

from __future__ import annotations

import torch
from torch import Tensor


def pseudo_anomalies(x: Tensor, n: int, seed: int) -> dict[str, Tensor]:
    """Three kinds of n rows each from training rows x (N, d).

    `shuffled`: each coordinate, with probability .2 and at least one, is replaced by another row's, which breaks
    dependence and keeps the marginals. `between`: a (1 - t) + b t with t ~ U(.3, .7) for two rows, which lies in the
    gaps between clusters. `gaussian`: independent normal coordinates of the data's mean and sd, which keeps neither.

    The kinds are those of noise-contrastive estimation's choices of noise (Gutmann and Hyvarinen 2010); here they are
    only used to compare energies, never to train one.
    """
    generator = torch.Generator().manual_seed(seed)
    total, d = x.shape

    def draw() -> Tensor:
        return torch.randint(total, (n,), generator=generator)

    shuffled = x[draw()].clone()
    where = torch.rand(n, d, generator=generator) < 0.2
    where[torch.arange(n), torch.randint(d, (n,), generator=generator)] = True
    others = x.gather(0, torch.randint(total, (n, d), generator=generator))
    shuffled = torch.where(where, others, shuffled)
    t = 0.3 + 0.4 * torch.rand(n, 1, generator=generator, dtype=x.dtype)
    between = x[draw()].lerp(x[draw()], t)
    noise = torch.randn(n, d, generator=generator, dtype=x.dtype)
    return {
        "shuffled": shuffled,
        "between": between,
        "gaussian": x.mean(0) + x.std(0, correction=0) * noise,
    }


def auroc(normal: Tensor, anomalous: Tensor) -> float:
    """P(a < b) + P(a = b) / 2 for energies a of normal and b of anomalous rows (Mann and Whitney 1947)."""
    from scipy.stats import mannwhitneyu  # slow to import, and needed only here

    # scikit-learn's own refuses infinite energies.
    u = mannwhitneyu(anomalous.double().numpy(), normal.double().numpy(), method="asymptotic").statistic
    return float(u / (len(normal) * len(anomalous)))
