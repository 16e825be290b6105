"""The Markdown report of the stored cells; the plot is in `_tabular_plot.py`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from _common import heading
from _tabular_maths import collect, gain, mean_rank, rates
from _tabular_methods import METHODS, OURS
from _tabular_store import Cell, Cells

BESIDE = ("knn5", "1nn")


class View:
    """The cells of one kind of training as arrays, over the sets, seeds and methods that have any."""

    def __init__(self, store: Cells, training: str, sets: list[str], seeds: list[int]):
        self.store, self.training, self.sets, self.seeds = store, training, sets, seeds
        present = {c.method for c in store.found if c.training == training and c.set in sets}
        self.methods = [m for m in METHODS if m in present and (m == OURS or METHODS[m].peer)]
        self.variants = [m for m in METHODS if m in present and m not in self.methods]

    def of(self, figure: str, methods: list[str] | None = None, sets: list[str] | None = None) -> np.ndarray:
        methods = self.methods if methods is None else methods
        return collect(
            self.store, self.training, figure, methods, self.sets if sets is None else sets, self.seeds
        )

    def failures(self) -> list[tuple[Cell, str]]:
        cells = [
            Cell(self.training, s, seed, m) for m in self.methods for s in self.sets for seed in self.seeds
        ]
        return [(c, self.store.found.get(c, {"error": "not computed"})["error"]) for c in cells
                if c not in self.store.found or self.store.found[c]["error"]]  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" + "---:|" * (len(head) - 1)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def number(value: float, form: str = ".3f") -> str:
    return f"{value:{form}}" if np.isfinite(value) else "–"


def standing(view: View, sets: list[str], methods: list[str] | None = None) -> list[str]:
    """Means, mean ranks, and what ours gains over each: points, and the Wilcoxon p over these sets."""
    methods = view.methods if methods is None else methods
    auroc, auprc = view.of("auroc", methods, sets), view.of("auprc", methods, sets)
    ours = view.of("auroc", [OURS], sets)[0], view.of("auprc", [OURS], sets)[0]
    rank = mean_rank(auroc), mean_rank(auprc)
    shown = OURS in view.methods
    rows = []
    for i, name in enumerate(methods):
        row = [f"**{name}**" if name == OURS else name]
        for k, figures in enumerate((auroc, auprc)):
            done = figures[i][np.isfinite(figures[i])]
            part = f" ({len(done)})" if len(done) < len(sets) else ""
            row += [number(done.mean() if len(done) else np.nan) + part, number(rank[k][i], ".2f")]
        for k, figures in enumerate((auroc, auprc) if shown else ()):
            g = gain(ours[k], figures[i])
            row += (
                ["", ""]
                if name == OURS
                else [number(100 * g.mean, "+.2f"), "<0.001" if g.p < 0.001 else number(g.p)]
            )
        rows.append(row)
    head = ["method", "AUROC", "rank", "AUPRC", "rank"]
    gains = [f"{OURS} − it, AUROC points", "p", f"{OURS} − it, AUPRC points", "p"]
    return table(head + gains * shown, rows)


def standings(view: View) -> list[str]:
    lines = [f"### All {len(view.sets)} sets", "", *standing(view, view.sets)]
    if len(view.sets) > 1:
        for half, start in (("A", 0), ("B", 1)):
            part = view.sets[start::2]
            lines += [
                f"### Half {half}: {len(part)} sets",
                "",
                ", ".join(part) + ".",
                "",
                *standing(view, part),
            ]
    if view.variants:
        lines += ["### Variants", "", *standing(view, view.sets, [OURS, *view.variants])]
    return lines


def times(view: View) -> list[str]:
    """CPU seconds over all sets together: the clock is too coarse for a small set alone."""
    fit, score, tested = view.of("fit_s"), view.of("score_s"), view.of("n_test")
    base = view.methods.index("knn5") if "knn5" in view.methods else None
    rows = []
    for i, name in enumerate(view.methods):
        done = np.isfinite(fit[i]) & (True if base is None else np.isfinite(fit[base]))
        row = [name]
        for seconds, unit, form in ((fit, 1.0, ".2f"), (score, 1e6 / max(tested[i, done].sum(), 1), ".1f")):
            total, beside = seconds[i, done].sum(), 0.0 if base is None else seconds[base, done].sum()
            row += [number(unit * total, form), number(total / beside if beside > 0 else np.nan, ".2f")]
        rows.append(row)
    return table(["method", "fit, CPU s", "/ knn5", "score, CPU µs a row", "/ knn5"], rows)


def false_positives(view: View) -> list[str]:
    rows = [
        [f"{r.requested:.0%}", f"{r.actual:.2%}", f"{r.cells:.0%}", f"{r.sets:.0%}", f"{r.conformal:.0%}",
         f"{r.worst[0]} {r.worst[1]:.2%}"]
        for r in rates(view.store, view.training, OURS, view.sets, view.seeds)
    ]  # fmt: skip
    if not rows:
        return []
    head = [
        "requested",
        "actual",
        "splits within binomial 95%",
        "sets, mean of seeds",
        "splits within beta-binomial",
    ]
    return [f"### False positives of `{OURS}`", "", *table([*head, "farthest set"], rows)]


def per_set(view: View) -> list[str]:
    lines = []
    for figure in ("auroc", "auprc"):
        values = view.of(figure)
        rows = []
        for j, name in enumerate(view.sets):
            best = np.nanmax(values[:, j]) if np.isfinite(values[:, j]).any() else np.nan
            rows.append([name, *(f"**{number(v)}**" if v == best else number(v) for v in values[:, j])])
        lines += [f"### {figure.upper()} by set", "", *table(["set", *view.methods], rows)]
    return lines


def losses(view: View, most: int = 5) -> list[str]:
    """Where ours loses most against kNN5, 1-NN and the best peer of each set."""
    if OURS not in view.methods or len(view.methods) == 1:
        return []
    rows = []
    for figure in ("auroc", "auprc"):
        values = dict(zip(view.methods, view.of(figure), strict=True))
        peers = [m for m in view.methods if m != OURS]
        best = np.nan_to_num(np.array([values[m] for m in peers]), nan=-1).max(axis=0)
        for name, other in [(m, values[m]) for m in BESIDE if m in values] + [("best peer", best)]:
            difference = 100 * (values[OURS] - other)
            order = [j for j in np.argsort(difference) if difference[j] < 0][:most]
            worst = ", ".join(f"{view.sets[j]} {difference[j]:+.1f}" for j in order)
            rows.append([f"{figure.upper()}, {name}", worst or "none"])
    return [f"### Largest losses of `{OURS}`, points", "", *table(["against", "sets"], rows)]


def failed(view: View) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for cell, why in view.failures():
        reasons.setdefault((cell.method, why), []).append(f"{cell.set} {cell.seed}")
    if not reasons:
        return ["No cell failed.", ""]
    return [f"- {m}: {why}: {', '.join(cells)}" for (m, why), cells in reasons.items()] + [""]


def report(store: Cells, title: str, sets: list[str], seeds: list[int]) -> list[str]:
    """The whole report as lines of Markdown."""
    lines = [
        "# Tabular anomaly detection", "", f"{title}, {len(sets)} sets. Means over seeds, then over sets. A number in "
        "brackets: sets finished, where not all. Rank 1 = best, failed = last. p: two-sided Wilcoxon signed-rank test "
        "over sets. Halves: sets at even (A) and odd (B) places of the alphabetical list. Times are of one thread.", "",
    ]  # fmt: skip
    for run in store.runs():
        lines += [f"- {run['training']}: {', '.join(run['methods'])}: {heading(run)}".rstrip()]
    lines += [""]
    for training, name in (("normal", "Trained on normal rows"), ("contaminated", "Anomalies left in")):
        view = View(store, training, sets, seeds)
        if view.methods:
            lines += [f"## {name}", "", *standings(view), *false_positives(view), *losses(view)]
            lines += ["### Time", "", *times(view), *per_set(view), "### Failed", "", *failed(view)]
    return lines
