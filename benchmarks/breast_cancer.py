"""Breast cancer: AUROC of configs/breast-cancer.yaml beside 1-NN, kNN5 and an isolation forest on the same splits.

    python benchmarks/breast_cancer.py     # ten seeds; about five minutes on one core

Benign rows are normal and split as the configuration says; malignant rows are the anomalies. `kernels` and `network`
are the two terms alone. Actual rates: the share of benign test rows with a p-value at most the rate asked for.
"""

from __future__ import annotations

import argparse

import numpy as np
from _common import CONFIGS, RESULTS, Store, heading
from digits import fit, parts, table

from ebm.config import read_yaml
from ebm.data import load_builtin
from ebm.evaluation.detector import evaluate
from ebm.training.config import TrainConfig

RATES = (0.01, 0.05, 0.1)
ACTUAL = "actual rate at "


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20, 30)))
    parser.add_argument("--fresh", action="store_true", help="do not go on from stored cells")
    args = parser.parse_args()
    config = read_yaml(TrainConfig, CONFIGS / "breast-cancer.yaml")
    rows = load_builtin("breast_cancer")
    assert rows.labels is not None
    normal, anomalies = rows.values[rows.labels == "benign"], rows.values[rows.labels == "malignant"]
    store = Store(RESULTS / "breast_cancer.json", args.seeds, config.model_dump(mode="json"), args.fresh)
    for seed in args.seeds:
        cell = f"auroc/{seed}"
        if cell not in store.cells:
            detector, train, test = fit(config, normal, seed)
            figures = {who: m["auroc"] for who, m in evaluate(detector, test, anomalies, train, seed).items()}
            p_values = detector.score(test).p_value
            actual = {f"{ACTUAL}{rate:g}": float((p_values <= rate).mean()) for rate in RATES}
            store.add(cell, figures | parts(detector, test, anomalies) | actual)
        print(seed, {k: round(v, 4) for k, v in store.cells[cell].items()}, flush=True)
    gains = [c["model"] - c["knn5"] for c in store.cells.values()]
    lines = ["# Breast cancer", "", heading(store.head["run"]), (__doc__ or "").split("\n\n")[2], ""]
    names = list(next(iter(store.cells.values())))
    lines += [
        *table(store, "auroc/", [name for name in names if not name.startswith(ACTUAL)]),
        "",
        *table(store, "auroc/", [name for name in names if name.startswith(ACTUAL)]),
    ]
    lines += [
        "",
        f"Gain over kNN5: mean {np.mean(gains):+.4f}, smallest {min(gains):+.4f}, {len(gains)} splits.",
        "",
    ]
    store.path.with_suffix(".md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
