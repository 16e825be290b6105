"""Why a row is anomalous: what each column adds to its energy above that of its nearest normal version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ebm import cells
from ebm.attribution import path_contributions
from ebm.calibration import Calibration
from ebm.energies import ProductOfExperts
from ebm.errors import BadInput
from ebm.explanation import Explanation, explanation_figure
from ebm.manifest import CalibrationSummary
from ebm.nearest import Surroundings, nearest_normal
from ebm.parzen import Parzen, find_parzen
from ebm.preprocessing import Coding
from ebm.steps import Progress, Steps
from ebm.types import EnergyFn

__all__ = ["Explanation", "explain_steps", "explanation_figure"]

MAX_ROWS = 256  # rows of one pass
N_LANDMARKS = 256
MAX_CELLS = 1 << 22  # and their distances to training rows, or their coordinates

Search = Callable[[Tensor], Steps[None, None, Tensor]]


def explain_steps(
    preprocessor: Coding,
    product: ProductOfExperts,
    summary: CalibrationSummary,
    calibration: Calibration,
    values: Any,
    *,
    sparse: bool = True,
) -> Steps[Progress, None, Explanation]:
    """See `Detector.explain`, for tables. Pauses after every pass over a part of the rows; progress is in rows.

    Raises:
        BadInput: rows that do not fit, or one so far away that its energy is not finite.
    """
    values, columns = cells.as_rows(preprocessor, values), preprocessor.columns
    x = cells.encode(preprocessor, values)
    owners, donors, device = cells.owners(preprocessor), find_parzen(product), product.scales.device
    around = surroundings(preprocessor, product, owners, donors, summary, calibration, device)

    def search(part: Tensor) -> Steps[None, None, Tensor]:
        return nearest_normal(product, part, around, sparse)

    def name(column: int) -> str:
        return f"column '{columns[column]}'" if columns else f"column {column}"

    found = yield from contributions_steps(product, x, around, search, name, columns)
    changed = changed_columns(found.version, x, around)
    decoded = cells.decode(preprocessor, found.version)
    return Explanation(
        **found.figures(summary, calibration),
        normal_version=cells.merge(values, decoded, changed, columns),
        changed=changed,
        values=values,
        columns=columns,
        level=around.level,
    )


class Contributions(NamedTuple):
    """Of N encoded rows: E (N,), the version x* (N, D), E(x*) (N,), and what each column adds (N, n_columns)."""

    energy: Tensor
    version: Tensor
    normal_energy: Tensor
    contributions: Tensor

    def figures(self, summary: CalibrationSummary, calibration: Calibration) -> dict[str, Any]:
        """The fields of an `Explanation` that are figures."""
        anomaly_score = (self.energy.double().numpy() - summary.mean) / summary.sd
        return {
            "energy": self.energy.numpy(),
            "p_value": calibration.p_values(anomaly_score),
            "normal_energy": self.normal_energy.numpy(),
            "contributions": self.contributions.numpy(),
        }


def contributions_steps(
    energy: EnergyFn,
    x: Tensor,
    around: Surroundings,
    search: Search,
    name: Callable[[int], str],
    columns: list[str] | None = None,
) -> Steps[Progress, None, Contributions]:
    """What each column adds between the version that `search` finds and x (N, D), part by part.

    Raises:
        BadInput: an energy is not finite; the message has the `name` of the column that is farthest off.
    """
    width = max(x.shape[1], len(around.donors.centres) if around.donors is not None else 1)
    size = max(1, min(MAX_ROWS, MAX_CELLS // width))
    parts: list[tuple[Tensor, ...]] = []
    for first in range(0, len(x), size):
        part = x[first : first + size].to(around.owners.device)
        with torch.no_grad():
            own = energy(part)
        _require_finite(own, part, first, around, name, columns)
        inner = _explain_part(energy, part, around, search)
        while True:
            try:
                next(inner)
            except StopIteration as stop:
                parts.append((own.cpu(), *(t.cpu() for t in stop.value)))
                break
            yield Progress(first, len(x))
        yield Progress(first + len(part), len(x))
    return Contributions(*(torch.cat(p) for p in zip(*parts, strict=True)))


def _explain_part(
    energy: EnergyFn, x: Tensor, around: Surroundings, search: Search
) -> Steps[None, None, tuple[Tensor, Tensor, Tensor]]:
    version = yield from search(x)
    contributions = yield from path_contributions(energy, version, x, around.owners, around.n_columns)
    with torch.no_grad():
        return version, energy(version), contributions


def surroundings(
    preprocessor: Coding,
    energy: EnergyFn,
    owners: Tensor,
    donors: Parzen | None,
    summary: CalibrationSummary,
    calibration: Calibration,
    device: torch.device,
) -> Surroundings:
    """What is normal for a model whose encoded rows (N, D) have the columns `owners` (D,)."""
    level, quarter = (
        summary.mean + summary.sd * float(q) for q in np.quantile(calibration.scores, [0.5, 0.25])
    )
    return Surroundings(
        level=level,
        target=min(quarter, level - 0.1 * summary.sd),
        owners=owners.to(device),
        n_columns=int(owners.max()) + 1,
        discrete=cells.discrete(preprocessor).to(device),
        project=lambda rows: cells.project(preprocessor, rows),
        donors=donors,
        landmarks=_landmarks(energy, donors, level, preprocessor.shape, device),
    )


@torch.no_grad()
def _landmarks(
    energy: EnergyFn, donors: Parzen | None, level: float, shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """Training rows at or below the level, from 256 that are spread evenly over all; else the lowest of them, or the
    centre of the encoding where the model keeps no rows."""
    if donors is None:
        return torch.zeros(1, *shape, device=device)
    rows = donors.centres[:: max(1, len(donors.centres) // N_LANDMARKS)]
    values = energy(rows)
    normal = values <= level
    return rows[normal] if bool(normal.any()) else rows[values.argmin()][None]


def _require_finite(
    energy: Tensor,
    x: Tensor,
    first: int,
    around: Surroundings,
    name: Callable[[int], str],
    columns: list[str] | None,
) -> None:
    bad = (~torch.isfinite(energy)).nonzero().squeeze(1)
    if len(bad):
        row = int(bad[0])
        column = int(around.owners[x[row].abs().argmax()])
        raise BadInput(
            f"row {first + row}: its energy is not finite, for {name(column)} lies too far from the training data",
            row=first + row,
            column=columns[column] if columns else column,
        )


def changed_columns(a: Tensor, b: Tensor, around: Surroundings) -> np.ndarray:
    """(N, n_columns) bool: where encoded rows a and b (N, D) differ."""
    changed = torch.zeros(len(a), around.n_columns)
    return changed.index_add_(1, around.owners.cpu(), (a != b).float()).numpy() > 0
