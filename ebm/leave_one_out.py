"""Energies of training rows by models that have not seen them: calibration that costs no rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from sklearn.model_selection import KFold
from torch import Tensor, nn

from ebm.energies import Expert, ProductOfExperts
from ebm.energies.inducing import sample
from ebm.training.config import ModelConfig, TermConfig

MAX_ROWS = 10_000  # enough to resolve a p-value of .0001

Fitted = Callable[[TermConfig, nn.Module, Tensor, int | None], nn.Module]


@torch.no_grad()
def leave_one_out(
    config: ModelConfig, product: ProductOfExperts, x: Tensor, clean: Tensor, fitted: Fitted
) -> tuple[np.ndarray, Tensor]:
    """Indices (n,) of at most 10,000 rows of x (N, *shape), and the energies (n, K) of the experts there.

    Rows `clean`, which the terms were fitted to, are left out: exactly by energies with a `leave_one_out`, by
    cross-fitting in `config.folds` folds by others (Barber et al. 2021 compare both; rank-based p-values are valid up
    to the difference that one row or one fold makes to the model). Other rows, trimmed before fitting, were not seen.

    Args:
        fitted: trains a fresh energy of a term on some rows, as `ebm.fitting` does.
    """
    limits = [getattr(term.energy, "max_rows", len(clean)) for term in config.terms]
    position = sample(len(clean), min(limits))
    # Kept and trimmed rows in their own proportion: the kept alone would make new normal rows look unusual.
    position = position[sample(len(position), max(1, MAX_ROWS * len(clean) // len(x)))]
    kept = clean[position]
    seen = torch.zeros(len(x), dtype=torch.bool)
    seen[clean] = True
    others = torch.nonzero(~seen).squeeze(1)
    others = others[sample(len(others), len(others) * len(kept) // len(clean))]
    index = torch.cat([kept, others])
    columns: dict[Expert, Tensor] = {}
    for term in config.terms:
        module = product.terms[term.name]
        experts = [e for e in product.experts if e.term == term.name]
        if hasattr(module, "leave_one_out"):
            exact = cast(Any, module).leave_one_out
            own = {e: exact(x[kept], own=position, sigma=e.sigma) for e in experts}
        else:
            own = _cross_fitted(config, term, module, x, clean, kept, experts, fitted)
        columns |= {e: torch.cat([own[e], _energies(module, x[others], e)]) for e in experts}
    stacked = torch.stack([columns[e] for e in product.experts], 1)
    return index.numpy(), stacked


def _cross_fitted(
    config: ModelConfig,
    term: TermConfig,
    module: nn.Module,
    x: Tensor,
    clean: Tensor,
    kept: Tensor,
    experts: list[Expert],
    fitted: Fitted,
) -> dict[Expert, Tensor]:
    """Each row's energies by the fold that did not train on it, moved and scaled to the whole model's own.

    Folds train on fewer rows for fewer steps, so that the level of their energies differs: mean and sd over the rows
    that a fold did train on are matched to those of the full model there.
    """
    out = {e: torch.zeros(len(kept)) for e in experts}
    where = torch.full((len(x),), -1, dtype=torch.long)
    where[kept] = torch.arange(len(kept))
    folds = KFold(min(config.folds, len(clean)), shuffle=True, random_state=config.seed)
    shape = tuple(x.shape[1:])
    for fold, (inside, outside) in enumerate(folds.split(np.arange(len(clean)))):
        rows = clean[torch.from_numpy(inside)]
        with torch.enable_grad():
            copy = fitted(term, term.energy.build(shape), x[rows], fold)
        left_out = clean[torch.from_numpy(outside)]
        left_out = left_out[where[left_out] >= 0]
        probe = x[rows[sample(len(rows), 2000)]]
        for e in experts:
            theirs, ours = _energies(copy, probe, e), _energies(module, probe, e)
            scale = ours.std(correction=0) / theirs.std(correction=0).clamp_min(1e-9)
            moved = ours.mean() + (_energies(copy, x[left_out], e) - theirs.mean()) * scale
            out[e][where[left_out]] = moved
    return out


def _energies(module: nn.Module, x: Tensor, expert: Expert) -> Tensor:
    parts = [expert.energy(module, part) for part in x.split(1024)]
    return torch.cat(parts) if parts else x.new_zeros(0)
