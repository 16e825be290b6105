"""Gain of the default over kNN5 by set, and mean ranks of all methods."""

from __future__ import annotations

import matplotlib
import numpy as np

matplotlib.use("Agg")

from _tabular_maths import mean_rank
from _tabular_methods import OURS
from _tabular_report import View
from _tabular_store import Cells
from matplotlib import pyplot as plt
from matplotlib.axes import Axes


def plot(store: Cells, sets: list[str], seeds: list[int]) -> None:
    """A PNG beside the store; without figures of ours or kNN5, the ranks alone."""
    view = View(store, "normal", sets, seeds)
    if not view.methods:
        return
    gains = {OURS, "knn5"} <= set(view.methods)
    figure, panels = plt.subplots(
        1, 1 + gains, figsize=(6 + 5 * gains, max(4, 0.28 * len(sets))), layout="constrained", squeeze=False
    )
    if gains:
        _gains(panels[0, 0], view)
    _ranks(panels[0, -1], view)
    figure.savefig(store.path.with_suffix(".png"), dpi=90)
    plt.close(figure)


def _gains(axes: Axes, view: View) -> None:
    for shift, measure in ((0.2, "auroc"), (-0.2, "auprc")):
        values = dict(zip(view.methods, view.of(measure), strict=True))
        points = 100 * (values[OURS] - values["knn5"])
        if shift > 0:
            order = np.argsort(np.nan_to_num(points))
        axes.barh(
            np.arange(len(order)) + shift, np.nan_to_num(points[order]), height=0.4, label=measure.upper()
        )
    axes.set_yticks(np.arange(len(order)), [view.sets[j] for j in order], fontsize=8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"{OURS} − knn5, points")
    axes.legend()


def _ranks(axes: Axes, view: View) -> None:
    ranks = mean_rank(view.of("auroc")), mean_rank(view.of("auprc"))
    order = np.argsort(-ranks[0])
    for marker, rank, label in zip("os", ranks, ("AUROC", "AUPRC"), strict=True):
        axes.plot(rank[order], np.arange(len(order)), marker, label=label)
    axes.set_yticks(np.arange(len(order)), [view.methods[i] for i in order])
    axes.set_xlabel(f"mean rank over {len(view.sets)} sets (1 = best)")
    axes.grid(axis="x", alpha=0.4)
    axes.legend()
