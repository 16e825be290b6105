"""Filling nulls by draws from what the model holds likely, given the cells that are there; or, by a model that predicts
some cells from the others, by its prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Generator, Tensor

from ebm import cells
from ebm.conditional import Proposal, corrected_draws, langevin_draws, pooled
from ebm.descent import Pairs, descend
from ebm.energies import ProductOfExperts
from ebm.errors import BadInput
from ebm.noise_level import SIGMA_GRID
from ebm.parzen import Parzen, find_parzen
from ebm.preprocessing import Coding
from ebm.steps import Progress, Steps
from ebm.types import Energy, EnergyFn

N_STEPS = 16  # Metropolis-Hastings steps of each draw
MAX_CELLS = 1 << 22  # draws times donors or coordinates held at a time
MAX_DRAWS = 10_000


@dataclass(frozen=True, eq=False)
class Imputed:
    """Of N rows and d columns in user units; of images, arrays are (N, H, W) or (N, H, W, C) in place of (N, d).

    rows: the rows with their nulls filled: by the mean over the draws, or the most frequent level of a category. An
        array (N, d) or, for frames, an Arrow table; cells that were there are untouched. A null stays where no
        training row has a value to give.
    missing: (N, d) bool, the cells that were null.
    spread: (N, d) float64, how uncertain each filled cell is: the sd over the draws (dates and times: in seconds), or
        1 - the share of the most frequent level; NaN for cells that were not filled, and with one draw.
    draws: on request, n_draws completed copies of the rows ("multiple imputation"), else None.
    acceptance: share of the proposed values that the energy accepted; None where there were no proposals.
    """

    rows: cells.Rows
    missing: np.ndarray
    spread: np.ndarray
    draws: list[cells.Rows] | None
    acceptance: float | None


@dataclass(frozen=True)
class Source:
    """Where draws come from: the donors of a kernel expert, corrected to the `pooled` energy of the whole product, or
    else a noise-conditional energy. `pairs`: predicts some cells from the others, where nothing else is missing."""

    pooled: EnergyFn
    donors: Parzen | None
    noise_conditional: Energy | None
    device: torch.device
    pairs: Pairs | None = None

    @classmethod
    def of(cls, product: ProductOfExperts, noise_conditional: Energy | None) -> Source:
        parts = pooled(product), find_parzen(product), noise_conditional, product.scales.device
        return cls(*parts, Pairs.of(product))

    @property
    def draws(self) -> bool:
        """Whether whole rows can be drawn from it."""
        return self.donors is not None or self.noise_conditional is not None

    @property
    def known(self) -> bool:
        return self.draws or self.pairs is not None

    def predictor(self, missing: np.ndarray, owners: Tensor) -> Pairs | None:
        """`pairs`, where it gives all that is missing (N, d) and nothing else is.

        Raises:
            BadInput: something else is missing, and there is nothing to draw it from.
        """
        if self.pairs is None:
            return None
        given = (~self.pairs.targets.cpu()[None] & torch.from_numpy(missing)[:, owners]).any(1)
        if not bool(given.any()):
            return self.pairs
        if self.draws:
            return None
        row = int(given.nonzero()[0])
        raise BadInput(f"row {row}: a cell is missing from which this model predicts the others", row=row)


def impute_steps(
    preprocessor: Coding,
    source: Source,
    values: Any,
    *,
    n_draws: int = 32,
    seed: int = 0,
    keep_draws: bool = False,
) -> Steps[Progress, None, Imputed]:
    """See `Detector.impute`. Pauses after every step of a part of the rows; progress is in rows with nulls."""
    if not 1 <= n_draws <= MAX_DRAWS:
        raise BadInput(f"n_draws must lie in [1, {MAX_DRAWS}], got {n_draws}")
    if not 0 <= seed < 2**63:
        raise BadInput(f"seed must lie in [0, 2^63), got {seed}")
    values, device = cells.as_rows(preprocessor, values), source.device
    x, missing = cells.encode_missing(preprocessor, values)
    owners, discrete = cells.owners(preprocessor), cells.discrete(preprocessor).to(device)
    donor_missing = _donor_missing(preprocessor, source.donors)
    pairs = source.predictor(missing, owners)
    generator = Generator(device).manual_seed(seed)
    at = np.flatnonzero(missing.any(1))
    donors = None if pairs is not None else source.donors
    width = max(x.shape[1], 1 if donors is None else len(donors.centres))
    size = max(1, MAX_CELLS // (width * n_draws))
    filled, spreads, kept, accepted = [], [], [], []
    for first in range(0, len(at), size):
        index = at[first : first + size]
        part, gaps = x[index].to(device), torch.from_numpy(missing[index]).to(device)
        if pairs is not None:
            inner = descend(pairs, part, gaps[:, owners.to(device)], n_draws, generator)
        elif source.donors is not None:
            usable = None if donor_missing is None else ~((gaps.float() @ donor_missing.float().T) > 0)
            proposal = Proposal.at(source.donors, part, gaps[:, owners.to(device)], discrete, usable)
            weights = proposal.log_weights
            _require_near(weights.isnan().any(1) | weights.isneginf().all(1), index)
            inner = corrected_draws(source.pooled, proposal, n_draws, N_STEPS, generator)
        else:
            assert source.noise_conditional is not None
            inner = langevin_draws(
                source.noise_conditional,
                list(reversed(SIGMA_GRID)),
                part,
                gaps[:, owners.to(device)],
                n_draws,
                generator,
            )
        while True:
            try:
                next(inner)
            except StopIteration as stop:
                draws, mean, share = stop.value
                break
            yield Progress(first, len(at))
        _require_near(~mean.isfinite().all(1), index)
        pictures = preprocessor.kind == "image"
        if donors is None and (pictures or bool(discrete.any())):
            draws = cells.project(preprocessor, draws.flatten(0, 1)).reshape(draws.shape)
            mean = draws.double().mean(1).float() if pictures else mean  # of pixels within their range
        draws = draws.cpu()
        filled.append(_typical(draws, mean.cpu(), owners, discrete.cpu()))
        spreads.append(_spread(preprocessor, draws, owners, discrete.cpu()))
        if keep_draws:
            kept.append(draws)
        if share is not None:
            accepted.append((share, len(index)))
        yield Progress(first + len(index), len(at))

    def completed(parts: list[Tensor]) -> cells.Rows:
        whole = x.clone()
        if parts:
            whole[torch.from_numpy(at)] = torch.cat(parts)
        return cells.merge(values, cells.decode(preprocessor, whole), missing, preprocessor.columns)

    spread = np.full(missing.shape, np.nan)
    if n_draws > 1 and spreads:
        spread[at] = np.where(missing[at], np.concatenate(spreads), np.nan)
    weights = [rows for _, rows in accepted]
    return Imputed(
        rows=completed(filled),
        missing=missing,
        spread=spread,
        draws=[completed([part[:, i] for part in kept]) for i in range(n_draws)] if keep_draws else None,
        acceptance=float(np.average([s for s, _ in accepted], weights=weights)) if accepted else None,
    )


def _require_near(bad: Tensor, index: np.ndarray) -> None:
    """bad (B,): rows, whose numbers are `index` (B,), from which nothing follows for their gaps."""
    if bool(bad.any()):
        row = int(index[int(bad.nonzero()[0])])
        raise BadInput(
            f"row {row}: what is there lies too far from the training data to fill its gaps", row=row
        )


def _donor_missing(preprocessor: Any, donors: Parzen | None) -> Tensor | None:
    """(n, d) bool: which cells of the donors are themselves null; None where none is."""
    if donors is None or not hasattr(preprocessor, "missing"):
        return None
    found = np.asarray(preprocessor.missing(cells.decode(preprocessor, donors.centres)), dtype=bool)
    return torch.from_numpy(found).to(donors.centres.device) if found.any() else None


def _typical(draws: Tensor, mean: Tensor, owners: Tensor, discrete: Tensor) -> Tensor:
    """(B, n, D), (B, D) -> (B, D): the mean of columns that have a continuous coordinate, the mode of the others."""
    # All draws alike: the observed cells, whose mean may round away from them, or a single draw.
    found = torch.where((draws == draws[:, :1]).all(1), draws[:, 0], mean)
    rows = torch.arange(len(draws))
    for block in _categories(owners, discrete):
        _, which = _mode(draws[:, :, block])
        found[:, block] = draws[rows, which][:, block]
    return found


def _spread(preprocessor: Coding, draws: Tensor, owners: Tensor, discrete: Tensor) -> np.ndarray:
    """(B, d): the sd of the draws in user units, or the share of draws that are not the mode."""
    b, n, _ = draws.shape
    decoded = cells.decode(preprocessor, draws.flatten(0, 1))
    spread = np.empty((b, math.prod(preprocessor.input_shape)))
    categories = {int(owners[block][0]): block for block in _categories(owners, discrete)}
    for j in range(spread.shape[1]):
        if j in categories:
            share, _ = _mode(draws[:, :, categories[j]])
            spread[:, j] = 1 - share.numpy()
        else:
            spread[:, j] = _numbers(cells.cell_column(decoded, j)).reshape(b, n).std(1)
    return spread


def _categories(owners: Tensor, discrete: Tensor) -> list[Tensor]:
    """The coordinates (w,) of each column that has discrete ones only."""
    columns = sorted(set(owners.tolist()) - set(owners[~discrete].tolist()))
    return [(owners == j).nonzero().squeeze(1) for j in columns]


def _mode(block: Tensor) -> tuple[Tensor, Tensor]:
    """block (B, n, w): the share (B,) of the most frequent of n vectors, and the index (B,) of one that is it."""
    # Equal vectors have equal sums with any weights, and different ones different sums, but for a coincidence.
    weights = torch.rand(block.shape[2], generator=Generator().manual_seed(0), dtype=torch.float64)
    keys = (block.double() * weights).sum(2)
    value, index = keys.mode(1)
    return (keys == value[:, None]).double().mean(1), index


def _numbers(column: pa.Array) -> np.ndarray:
    """Numbers as they are, dates and times in seconds; float64, NaN for nulls."""
    kind = column.type
    if pa.types.is_temporal(kind):
        column = cells.pc.cast(column, pa.timestamp("us") if pa.types.is_date(kind) else kind)
        ticks = cells.pc.cast(cells.pc.cast(column, pa.int64()), pa.float64())
        per_second = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[getattr(column.type, "unit", "us")]
        return ticks.to_numpy(zero_copy_only=False) / per_second
    return cells.pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
