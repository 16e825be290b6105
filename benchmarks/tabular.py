"""Tabular anomaly detection: the default energy beside PyOD's detectors on the same splits of a folder of sets.

    python benchmarks/tabular.py --data-dir DIR                   # every method; hours, most of them LUNAR and DIF
    python benchmarks/tabular.py --data-dir DIR --contaminated    # the same with anomalies among the training rows
    python benchmarks/tabular.py --data-dir DIR --methods ebm --redo ebm    # one method anew, the others as stored
    python benchmarks/tabular.py                                  # no data: the table of the stored figures

DIR holds one `.npz` a set: `X` (n, d), and `y` (n,) with 1 for an anomaly. Per seed at most 10,000 rows are drawn
without replacement; half of the normal ones train; the other half and all anomalies test. Each cell (set, seed,
method) is measured in a process of its own on one thread, stored as it ends and not computed again; what fails or
takes too long is stored as failed, with the reason. Written beside the store: a report and a plot.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from pathlib import Path
from typing import Any

from _common import RESULTS, provenance
from _tabular_data import load, names, split
from _tabular_methods import CONTAMINATED, METHODS, prepare
from _tabular_plot import plot
from _tabular_report import View, false_positives, report, standings
from _tabular_run import run
from _tabular_store import Cell, Cells
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, help="folder of .npz; without it, only print what is stored")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", metavar="NAME", help=f"of {', '.join(METHODS)}; or `peers`")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="only these sets are computed")
    parser.add_argument(
        "--contaminated", action="store_true", help="train on half of all rows, anomalies too"
    )
    parser.add_argument(
        "--redo", nargs="+", metavar="NAME", default=[], help="drop these methods' cells first"
    )
    parser.add_argument(
        "--cpu-limit", type=int, default=600, metavar="SECONDS", help="CPU seconds a cell may take"
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS / "tabular.csv", help="the store; .md and .png beside it"
    )
    parser.add_argument("--title", help="what the report calls the data (default: the folder's name)")
    args = parser.parse_args(given)
    chosen = args.methods or (CONTAMINATED if args.contaminated else list(METHODS))
    args.methods = [
        n for c in chosen for n in ([m for m in METHODS if METHODS[m].peer] if c == "peers" else [c])
    ]
    if unknown := sorted({*args.methods, *args.redo} - set(METHODS)):
        parser.error(f"unknown method {', '.join(unknown)}; known: {', '.join(METHODS)}")
    return args


def compute(args: argparse.Namespace, store: Cells) -> None:
    """Measure what is missing: quick methods before slow ones, small sets before large ones."""
    training = "contaminated" if args.contaminated else "normal"
    folder, sets = args.data_dir, names(args.data_dir)
    if unknown := sorted(set(args.sets or []) - set(sets)):
        raise SystemExit(f"{folder}: no set {', '.join(unknown)}")
    sets = args.sets or sets
    store.forget(args.redo, training, sets)
    sizes = {name: (folder / f"{name}.npz").stat().st_size for name in sets}
    queue = [
        Cell(training, name, seed, method)
        for slow in sorted({METHODS[m].slow for m in args.methods})
        for name in sorted(sets, key=sizes.__getitem__)
        for seed in args.seeds
        for method in args.methods
        if METHODS[method].slow == slow
    ]
    queue = [cell for cell in queue if not store.has(cell, METHODS[cell.method].version)]
    if not queue:
        return
    prepare(args.methods)
    store.note(training, sorted({cell.method for cell in queue}), origin(args))
    bar = Progress(
        BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"),
        auto_refresh=False,  # its thread must not be there when a cell's process is forked
    )  # fmt: skip
    held = ("", None)
    with bar:
        task = bar.add_task("", total=len(queue))
        for cell in queue:
            what = f"{cell.set} seed {cell.seed} {cell.method}"
            bar.update(task, description=what, refresh=True)
            try:
                if held[1] is None or held[0] != cell.set:
                    held = (cell.set, load(folder, cell.set))
                rows = split(*held[1], cell.seed, args.contaminated)  # type: ignore[misc]
                figures = run(cell.method, rows, cell.seed, args.contaminated, args.cpu_limit)
            except (ValueError, KeyError, OSError) as error:
                figures = {"error": f"{type(error).__name__}: {error}"}
            store.add(cell, METHODS[cell.method].version, figures)
            told = figures.get("error") or f"AUROC {figures['auroc']:.4f}, {figures['fit_s']:.1f} s"
            bar.console.print(f"{what}: {told}", highlight=False)
            bar.advance(task)


def origin(args: argparse.Namespace) -> dict[str, Any]:
    """Provenance of a run; the folders of this machine are left out."""
    command = "python benchmarks/tabular.py --data-dir DIR" + " --contaminated" * args.contaminated
    run = provenance(args.seeds)
    run["versions"] |= {name: importlib.metadata.version(name) for name in ("pyod", "ebm-service")}
    return run | {"command": command + f" --cpu-limit {args.cpu_limit}"}


def main() -> None:
    args = arguments()
    store = Cells(args.out)
    if args.data_dir is not None:
        compute(args, store)
        sets = names(args.data_dir)
        lines = report(store, args.title or args.data_dir.name, sets, args.seeds)
        args.out.with_suffix(".md").write_text("\n".join(lines).rstrip() + "\n")
        plot(store, sets, args.seeds)
    else:
        sets = sorted({cell.set for cell in store.found})
    for training in ("normal", "contaminated"):
        view = View(store, training, sets, args.seeds)
        if view.methods:
            print("\n".join([f"Training rows: {training}", "", *standings(view), *false_positives(view)]))


if __name__ == "__main__":
    main()
