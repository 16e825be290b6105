"""What an explanation says of each row, and its figure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ebm import cells
from ebm.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Explanation:
    """Of N rows and d columns; of images, the columns are the pixels, line by line.

    energy: (N,) E(x); p_value: (N,) conformal.
    normal_energy: (N,) E(x*), at most `level` unless no such version was found.
    contributions: (N, d) float64, in units of energy; each row sums to energy - normal_energy, and is 0 for rows at
        or below the level. Negative where the row's own value is the more normal one.
    normal_version: x* in user units: an array (N, d), or an Arrow table where the rows are a table or mixed; images
        (N, H, W) or (N, H, W, C).
    changed: (N, d) bool, where x* differs from the row.
    values: the rows as they were given.
    columns: names, where the model has names.
    level: the median energy of the calibration rows.
    size: (H, W) of images, else None.
    anomaly_map: (N, H, W) of images, where they are odd by `ebm.pixel_maps`: it finds faults better than contributions
        do, but adds up to nothing.
    map_method: what made it.
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
    size: tuple[int, int] | None = None
    anomaly_map: np.ndarray | None = None
    map_method: str | None = None

    @property
    def heat_map(self) -> np.ndarray:
        """(N, H, W): the contributions of images as pictures of them. Raises BadInput for rows of a table."""
        if self.size is None:
            raise BadInput("rows of a table have no heat map; see contributions")
        return self.contributions.reshape(-1, *self.size)

    @property
    def ranking(self) -> np.ndarray:
        """(N, d) int: column indices, the largest contribution first; ties in column order."""
        return np.argsort(-self.contributions, axis=1, kind="stable")

    def figure(self, row: int = 0, top: int = 10) -> Figure:
        """`explanation_figure` of one row."""
        return explanation_figure(self, row, top)

    def name(self, column: int) -> str:
        """What to call a column: its name, or x0, x1, ..., or pixel (line, place)."""
        if self.size is not None:
            return f"pixel {divmod(column, self.size[1])}"
        return self.columns[column] if self.columns is not None else f"x{column}"

    def cell(self, row: int, column: int) -> tuple[Any, Any]:
        """A value of the row, and the same of its normal version; None where missing. Of colours a list."""
        both = self.values, self.normal_version
        if self.size is not None:
            here = divmod(column, self.size[1])
            own, normal = (np.asarray(images[row])[here].tolist() for images in both)
        else:
            own, normal = (_cell(rows, row, column, self.columns) for rows in both)
        return own, normal


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
