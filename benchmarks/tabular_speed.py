"""Compressed kernels on large tables: cost in accuracy, time a row beside PyOD's KNN, and what the model chose.

    python benchmarks/tabular_speed.py --data-dir DIR     # about five minutes

For every set of `DIR/*.npz` with at least 20,000 normal rows: train on up to 50,000 of them, test on up to 2,500 others
and 2,500 anomalies. `exact` keeps all rows; `compressed` 768 of them with the mass of the rest; of the `near field` a
row meets those near it one by one, and one row of each far list. The default is what the energy chooses by the
label-free check (`foreseen`). Times are CPU seconds of one thread over the test rows in one batch; KNN is PyOD's with 5
neighbours. Without `--data-dir` the stored figures are printed.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before anything loads torch

import numpy as np
import torch
from _common import RESULTS, Store, heading
from pyod.models.knn import KNN
from sklearn.metrics import average_precision_score, roc_auc_score

from ebm.energies.foreseen import foreseen_loss
from ebm.energies.kernel_views import AUTO_INDUCING, KernelViews, KernelViewsConfig
from ebm.preprocessing import MixedConfig

TRAIN, TEST = 50_000, 2_500
FORMS = (
    ("compressed", "compressed", "foreseen"),
    ("near_field", "near field", "near_field_foreseen"),
    ("exact", "exact", ""),
    ("knn", "PyOD KNN", ""),
)


def timed(call: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    start = time.process_time()
    answer = call()
    return answer, time.process_time() - start


@torch.no_grad()
def measure(x: np.ndarray, y: np.ndarray, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    normal, odd = rng.permutation(np.flatnonzero(y == 0)), rng.permutation(np.flatnonzero(y == 1))[:TEST]
    n = min(TRAIN, len(normal) - TEST)
    test = np.concatenate([normal[n : n + TEST], odd])
    labels = y[test]
    preprocessor = MixedConfig().build().fit(x[normal[:n]])
    train = torch.from_numpy(preprocessor.transform(x[normal[:n]]))
    rows = torch.from_numpy(preprocessor.transform(x[test]))
    exact = KernelViews((train.shape[1],), KernelViewsConfig(n_inducing=None))
    exact.fit(train)
    small = copy.deepcopy(exact)
    small.compress(AUTO_INDUCING)
    grouped = copy.deepcopy(exact)
    grouped.group()
    default = KernelViews((train.shape[1],), KernelViewsConfig())
    default.fit(train)
    knn = KNN(n_neighbors=5).fit(train.numpy())
    figures: dict[str, float] = {"n_train": n, "columns": x.shape[1], "rows": len(test)}
    for name, call in (
        ("exact", lambda: exact(rows).numpy()),
        ("compressed", lambda: small(rows).numpy()),
        ("near_field", lambda: grouped(rows).numpy()),
        ("default", lambda: default(rows).numpy()),
        ("knn", lambda: knn.decision_function(rows.numpy())),
    ):
        call()
        energy, seconds = timed(call)
        figures |= {
            f"{name}_auroc": float(roc_auc_score(labels, energy)),
            f"{name}_auprc": float(average_precision_score(labels, energy)),
            f"{name}_us": 1e6 * seconds / len(test),
        }
    form = 1.0 if len(default.near_field) else 0.0 if len(default.centres) < n else 2.0
    return figures | {
        "foreseen": foreseen_loss(exact, small, train),
        "near_field_foreseen": foreseen_loss(exact, grouped, train),
        "default_form": form,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--fresh", action="store_true", help="do not go on from stored cells")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(RESULTS / "tabular_speed.json", args.seeds, {"train": TRAIN, "test": TEST}, args.fresh)
    store.head["run"]["command"] = "python benchmarks/tabular_speed.py --data-dir DIR"
    for file in sorted(args.data_dir.glob("*.npz")) if args.data_dir else []:
        with np.load(file, allow_pickle=False) as data:
            x, y = data["X"].astype(np.float64), data["y"].astype(int)
        if (y == 0).sum() < 20_000:
            continue
        for seed in args.seeds:
            cell = f"{file.stem}/{seed}"
            if cell not in store.cells:
                store.add(cell, measure(x, y, seed))
            print(cell, {k: round(v, 4) for k, v in store.cells[cell].items()}, flush=True)
    lines = ["# Compressed kernels on large tables", "", heading(store.head["run"]), __doc__ or "", ""]
    lines += [
        "| set/seed | rows x columns | form | AUROC | cost, points | foreseen | us a row | KNN / it | default |",
        "|---|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for cell, f in store.cells.items():
        for place, (name, title, foreseen) in enumerate(FORMS):
            cost = 100 * (f["exact_auroc"] - f[f"{name}_auroc"])
            shown = [cell, f"{f['n_train']:.0f} x {f['columns']:.0f}", title, f"{f[f'{name}_auroc']:.4f}"]
            shown += [f"{cost:.2f}", f"{100 * f[foreseen]:.2f}" if foreseen else "", f"{f[f'{name}_us']:.1f}"]
            shown += [f"{f['knn_us'] / f[f'{name}_us']:.2f}", "chosen" if f["default_form"] == place else ""]
            lines.append("| " + " | ".join(shown) + " |")
    store.path.with_suffix(".md").write_text("\n".join([*lines, ""]))
    print("\n".join(lines[-4 * len(store.cells) - 2 :]))


if __name__ == "__main__":
    main()
