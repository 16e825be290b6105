"""The picture of one objective: a row for each set; truth and learnt energy, both score fields, samples, loss."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ebm.gallery.cell import REACH, Cell, axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = ("energy, truth", "energy, learnt", "score, truth", "score, learnt", "samples on data", "loss")
PANEL = 1.22  # inches
DPI = 100
COLOURS = 64
BANDS = 14  # of energy: lines of equal height say more than shades, and are small in a file
COLOUR_MAP = "viridis_r"  # low energy, where the data are, is bright
DATA, SAMPLES, ARROWS, TRUE_ARROWS = "#9fb3c8", "#c0392b", "#1f4e79", "#555555"
TALL = 0.05  # share of the highest true density above which arrows are drawn: elsewhere there are no data to learn from


def draw(cells: Sequence[Cell], path: Path, *, density: bool = True) -> None:
    """Write the picture of `cells`, one row each, as a PNG of few colours.

    Args:
        density: whether the energy is in nats, so that it can share the truth's colours and the arrows its lengths.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and needed only here
    from matplotlib.figure import Figure

    n, m = len(cells), len(TITLES)
    figure = Figure(figsize=(m * PANEL + 0.25, n * PANEL + 0.2), dpi=DPI)
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(n, m, squeeze=False)
    left, top = 0.25 / (m * PANEL + 0.25), 1 - 0.2 / (n * PANEL + 0.2)
    figure.subplots_adjust(left=left, right=0.995, bottom=0.01, top=top, wspace=0.04, hspace=0.04)
    for row, cell in zip(axes, cells, strict=True):
        for panel in row:
            panel.set(xticks=[], yticks=[])
            for spine in panel.spines.values():
                spine.set(linewidth=0.4, color="#999999")
        row[0].set_ylabel(cell.set.replace("_", " "), fontsize=7, labelpad=2)
        _fill(row, cell, density)
    for panel, title in zip(axes[0], TITLES, strict=True):
        panel.set_title(title, fontsize=7, pad=2)
    _save(figure, path)


def _fill(row: Any, cell: Cell, density: bool) -> None:
    inside = _where_data_are(cell)
    _energy(row[0], cell.truth.energy, None)
    _arrows(row[2], cell.truth.score, inside, TRUE_ARROWS)
    if cell.learnt is None:
        row[1].text(0.5, 0.5, "diverged", ha="center", va="center", fontsize=7, transform=row[1].transAxes)
    else:
        _energy(row[1], cell.learnt.energy, cell.truth.energy if density else None)
        _arrows(row[3], cell.learnt.score, inside, ARROWS)
    for panel in row[:5]:
        panel.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal")
    row[4].plot(*cell.data[:1200].T, ",", color=DATA)
    if cell.samples is not None:
        row[4].plot(*cell.samples[:400].T, ".", markersize=2.6, markeredgewidth=0, color=SAMPLES)
    _loss(row[5], cell.losses)


def _scaled(energy: np.ndarray) -> np.ndarray:
    """log10(1 + E - min E): a landscape spans from tenths of a nat among the data to thousands far away."""
    return np.log10(1 + energy - np.nanmin(energy))


def _energy(panel: Axes, energy: np.ndarray, like: np.ndarray | None) -> None:
    """In the range of colours of `like`; by itself, from its least to what nine tenths of the picture lie below."""
    top = float(np.quantile(_scaled(energy if like is None else like), 0.9))
    places = axis(len(energy))
    panel.contourf(places, places, _scaled(energy), np.linspace(0, top, BANDS), cmap=COLOUR_MAP, extend="max",
                   antialiased=False)  # fmt: skip


def _where_data_are(cell: Cell) -> np.ndarray:
    """(a, a) bool: places of arrows at which, or next to which, the truth has some density."""
    a, g = len(cell.truth.score), len(cell.truth.energy)
    nearest = np.abs(axis(g)[:, None] - axis(a)).argmin(0)
    energy = cell.truth.energy[np.ix_(nearest, nearest)]
    return energy < cell.truth.energy.min() - np.log(TALL) + 1


def _arrows(panel: Axes, score: np.ndarray, inside: np.ndarray, colour: str) -> None:
    """Direction exactly, length by the square root: scores near an edge are ten times those within."""
    x, y = np.meshgrid(axis(len(score)), axis(len(score)))
    length = np.linalg.norm(score, axis=2)
    drawn = score / np.sqrt(length + 1e-12)[:, :, None] / np.sqrt(length[inside].mean() + 1e-12)
    spacing = 2 * REACH / len(score)
    panel.quiver(
        x[inside], y[inside], *drawn[inside].T, color=colour, angles="xy", scale_units="xy", scale=1 / spacing,
        width=0.009, headwidth=4, headlength=4, headaxislength=3.5,
    )  # fmt: skip


def _loss(panel: Axes, losses: Sequence[float]) -> None:
    """Means over a fortieth of the run; the range on the axis is that of the curve."""
    if not losses:
        return
    parts = np.array_split(np.array(losses), min(40, len(losses)))
    means = np.array([part.mean() for part in parts])
    panel.plot(np.linspace(0, 1, len(means)), means, color=ARROWS, linewidth=0.9)
    low, high = float(means.min()), float(means.max())
    panel.set(ylim=(low - 0.2 * (high - low) - 1e-9, high + 0.2 * (high - low) + 1e-9))
    for value, at in ((low, 0.03), (high, 0.97)):
        panel.text(
            0.97, at, f"{value:.3g}", ha="right", va="bottom" if at < 0.5 else "top", fontsize=6,
            transform=panel.transAxes,
        )  # fmt: skip


def _save(figure: Any, path: Path) -> None:
    """As a palette of few colours: a page of them stays small."""
    from PIL import Image

    whole = io.BytesIO()
    figure.savefig(whole, format="png", dpi=DPI)
    picture = Image.open(whole).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
