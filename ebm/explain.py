"""Why a row is anomalous: what each column adds to its energy above that of its nearest normal version."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ebm import cells
from ebm.attribution import path_contributions
from ebm.calibration import Calibration
from ebm.energies import ProductOfExperts
from ebm.errors import BadInput
from ebm.manifest import CalibrationSummary
from ebm.nearest import Surroundings, nearest_normal
from ebm.parzen import Parzen, find_parzen
from ebm.preprocessing import Preprocessor
from ebm.steps import Progress, Steps
from ebm.types import EnergyFn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_ROWS = 256  # rows of one pass
N_LANDMARKS = 256
MAX_CELLS = 1 << 22  # and their distances to training rows, or their coordinates


@dataclass(frozen=True, eq=False)
class Explanation:
    """Of N rows and d columns.

    energy: (N,) E(x); p_value: (N,) conformal.
    normal_energy: (N,) E(x*), at most `level` unless no such version was found near the row.
    contributions: (N, d) float64, in units of energy; each row sums to energy - normal_energy, and is 0 for rows at
        or below the level. Negative where the row's own value is the more normal one.
    normal_version: x* in user units: an array (N, d), or an Arrow table where the rows are a table or mixed.
    changed: (N, d) bool, where x* differs from the row.
    values: the rows as they were given.
    columns: names, where the model has names.
    level: the median energy of the calibration rows.
    """

    energy: np.ndarray
    p_value: np.ndarray
    normal_energy: np.ndarray
    contributions: np.ndarray
    normal_version: cells.Rows
    changed: np.ndarray
    values: cells.Rows
    columns: list[str] | None
    level: float

    @property
    def ranking(self) -> np.ndarray:
        """(N, d) int: column indices, the largest contribution first; ties in column order."""
        return np.argsort(-self.contributions, axis=1, kind="stable")

    def figure(self, row: int = 0, top: int = 10) -> Figure:
        """`explanation_figure` of one row."""
        return explanation_figure(self, row, top)

    def name(self, column: int) -> str:
        """What to call a column: its name, or x0, x1, ..."""
        return self.columns[column] if self.columns is not None else f"x{column}"

    def cell(self, row: int, column: int) -> tuple[Any, Any]:
        """A value of the row, and the same of its normal version; None where missing."""
        return _cell(self.values, row, column, self.columns), _cell(
            self.normal_version, row, column, self.columns
        )


def explain_steps(
    preprocessor: Preprocessor,
    product: ProductOfExperts,
    summary: CalibrationSummary,
    calibration: Calibration,
    values: Any,
    *,
    sparse: bool = True,
) -> Steps[Progress, None, Explanation]:
    """See `Detector.explain`. Pauses after every pass over a part of the rows; progress is in rows.

    Raises:
        BadInput: rows that do not fit, or one so far away that its energy is not finite.
    """
    values, device = cells.as_rows(preprocessor, values), product.scales.device
    x = cells.encode(preprocessor, values)
    around = _surroundings(preprocessor, product, summary, calibration, device)
    width = max(x.shape[1], len(around.donors.centres) if around.donors is not None else 1)
    size = max(1, min(MAX_ROWS, MAX_CELLS // width))
    parts: list[tuple[Tensor, ...]] = []
    for first in range(0, len(x), size):
        part = x[first : first + size].to(device)
        with torch.no_grad():
            own = product(part)
        _require_finite(own, part, first, preprocessor, around)
        inner = _explain_part(product, part, around, sparse)
        while True:
            try:
                next(inner)
            except StopIteration as stop:
                parts.append((own.cpu(), *(t.cpu() for t in stop.value)))
                break
            yield Progress(first, len(x))
        yield Progress(first + len(part), len(x))
    energy, version, normal_energy, contributions = (torch.cat(p) for p in zip(*parts, strict=True))
    changed = _changed(version, x, around.owners.cpu(), around.n_columns)
    decoded = cells.decode(preprocessor, version)
    anomaly_score = (energy.double().numpy() - summary.mean) / summary.sd
    return Explanation(
        energy=energy.numpy(),
        p_value=calibration.p_values(anomaly_score),
        normal_energy=normal_energy.numpy(),
        contributions=contributions.numpy(),
        normal_version=cells.merge(values, decoded, changed, preprocessor.columns),
        changed=changed,
        values=values,
        columns=preprocessor.columns,
        level=around.level,
    )


def _explain_part(
    energy: EnergyFn, x: Tensor, around: Surroundings, sparse: bool
) -> Steps[None, None, tuple[Tensor, Tensor, Tensor]]:
    version = yield from nearest_normal(energy, x, around, sparse)
    contributions = yield from path_contributions(energy, version, x, around.owners, around.n_columns)
    with torch.no_grad():
        return version, energy(version), contributions


def _surroundings(
    preprocessor: Preprocessor,
    product: ProductOfExperts,
    summary: CalibrationSummary,
    calibration: Calibration,
    device: torch.device,
) -> Surroundings:
    level, quarter = (
        summary.mean + summary.sd * float(q) for q in np.quantile(calibration.scores, [0.5, 0.25])
    )
    donors = find_parzen(product)
    return Surroundings(
        level=level,
        target=min(quarter, level - 0.1 * summary.sd),
        owners=cells.owners(preprocessor).to(device),
        n_columns=math.prod(preprocessor.input_shape),
        discrete=cells.discrete(preprocessor).to(device),
        project=lambda rows: cells.project(preprocessor, rows),
        donors=donors,
        landmarks=_landmarks(product, donors, level, preprocessor.shape, device),
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
    energy: Tensor, x: Tensor, first: int, preprocessor: Preprocessor, around: Surroundings
) -> None:
    bad = (~torch.isfinite(energy)).nonzero().squeeze(1)
    if len(bad):
        row = int(bad[0])
        column = int(around.owners[x[row].abs().argmax()])
        names = preprocessor.columns
        where = f"column '{names[column]}'" if names else f"column {column}"
        raise BadInput(
            f"row {first + row}: its energy is not finite, for {where} lies too far from the training data",
            row=first + row,
            column=names[column] if names else column,
        )


def _changed(a: Tensor, b: Tensor, owners: Tensor, n_columns: int) -> np.ndarray:
    changed = torch.zeros(len(a), n_columns)
    return changed.index_add_(1, owners, (a != b).float()).numpy() > 0


def _cell(rows: Any, row: int, column: int, columns: list[str] | None) -> Any:
    if hasattr(rows, "column_names"):
        return rows[columns[column] if columns is not None else column][row].as_py()
    value = rows[row][column]
    return value.item() if isinstance(value, np.generic) else value


def explanation_figure(explanation: Explanation, row: int = 0, top: int = 10) -> Figure:
    """Bars of the `top` columns with the largest contributions to one row, labelled "value -> normal value",
    and one of all the others together.

    Raises:
        BadInput: there is no such row.
    """
    n, d = explanation.contributions.shape
    if not 0 <= row < n:
        raise BadInput(f"row {row}: there are {n} rows", row=row)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = np.argsort(-np.abs(explanation.contributions[row]), kind="stable")[: min(top, d)]
    heights = explanation.contributions[row, order].tolist()
    labels = [_label(explanation, row, int(j)) for j in order]
    if len(order) < d:
        heights.append(float(explanation.contributions[row].sum()) - sum(heights))
        labels.append(f"{d - len(order)} other columns")
    figure = Figure(figsize=(7, 1.2 + 0.35 * len(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.barh(range(len(heights)), heights, color=["C3" if h > 0 else "C0" for h in heights])
    axes.set_yticks(range(len(heights)), labels)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    own, normal = explanation.energy[row], explanation.normal_energy[row]
    axes.set(
        xlabel="contribution to the energy",
        title=f"row {row}: energy {own:.4g}, normal version {normal:.4g}, p = {explanation.p_value[row]:.2g}",
    )
    return figure


def _label(explanation: Explanation, row: int, column: int) -> str:
    own, normal = explanation.cell(row, column)
    text = f"{explanation.name(column)} = {_short(own)}"
    return f"{text} \N{RIGHTWARDS ARROW} {_short(normal)}" if explanation.changed[row, column] else text


def _short(value: Any) -> str:
    if isinstance(value, float):
        return "missing" if math.isnan(value) else f"{value:.4g}"
    text = "missing" if value is None else str(value)
    # matplotlib would take a pair of dollar signs for mathematics.
    return (text if len(text) <= 24 else text[:21] + "...").replace("$", r"\$")
