"""What a compressed kernel energy is going to cost, measured without labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ebm.energies.inducing import sample
from ebm.energies.pseudo_anomalies import auroc, pseudo_anomalies


@torch.no_grad()
def foreseen_loss(exact: Any, compressed: Any, rows: Tensor) -> float:
    """The largest fall in AUROC, over kinds of pseudo-anomalies, from one energy to the other; `rows` are those fitted.

    To the kinds of `pseudo_anomalies` comes `near`: rows moved by a neighbour's distance, which only a sharp energy
    tells from the data. Of a real anomaly's loss it is a forecast, not a bound.
    """
    own = sample(len(rows), 2000)
    kinds = pseudo_anomalies(rows, n=500, seed=1)
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(500, rows.shape[1], generator=generator, dtype=rows.dtype)
    kinds["near"] = rows[own[:500]] + exact.width.sqrt() * noise * (rows.std(0) > 0)
    normal = exact.leave_one_out(rows[own]), compressed.leave_one_out(rows[own])
    falls = [auroc(normal[0], exact(fake)) - auroc(normal[1], compressed(fake)) for fake in kinds.values()]
    return max(falls)
