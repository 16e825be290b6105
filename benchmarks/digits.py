"""Digits: leave-one-class-out and corrupted-digit AUROC of the shipped configuration beside the baselines.

    python benchmarks/digits.py            # configs/digits.yaml, three seeds; about 20 minutes on one core
    python benchmarks/digits.py --cd       # adds configs/digits-cd.yaml on the corrupted digits

Leave-one-class-out: nine classes are normal, split as the configuration says (70% train, 10% calibrate, 20% test); all
images of the tenth are anomalies; mean over the ten classes. Corrupted: all ten classes are normal, the anomalies are
nine kinds of damage to the test images; mean over the kinds. The baselines get the same training rows.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from _common import CONFIGS, RESULTS, Store, heading

from ebm.config import read_yaml
from ebm.data import load_builtin, split_normal
from ebm.detector import Detector
from ebm.evaluation.corruptions import corrupt_all
from ebm.evaluation.detector import evaluate, evaluate_corruptions
from ebm.evaluation.metrics import auroc
from ebm.fitting import fit_detector
from ebm.training.config import TrainConfig


def parts(detector: Detector, normal: np.ndarray, anomalies: np.ndarray) -> dict[str, float]:
    """AUROC of each expert alone: the kernel, and the network at each noise level."""
    rows = torch.from_numpy(detector.preprocessor.transform(np.concatenate([normal, anomalies])))
    y = np.r_[np.zeros(len(normal)), np.ones(len(anomalies))]
    with torch.no_grad():
        energies = detector.energy.expert_energies(rows).double().numpy()
    names = [f"{e.term}" + (f" at {e.sigma:g}" if e.sigma else "") for e in detector.energy.experts]
    return {name: auroc(energies[:, k], y) for k, name in enumerate(names)}


def fit(config: TrainConfig, rows: np.ndarray, seed: int) -> tuple[Detector, np.ndarray, np.ndarray]:
    split = split_normal(len(rows), config.split.train, config.split.calibration, seed)
    detector = fit_detector(
        config.model_copy(update={"seed": seed}), rows[split.train], rows[split.calibration]
    )
    return detector, rows[split.train], rows[split.test]


def leave_one_class_out(config: TrainConfig, seed: int, held_out: int) -> dict[str, float]:
    table = load_builtin("digits")
    assert table.labels is not None
    rows, anomalies = table.values[table.labels != held_out], table.values[table.labels == held_out]
    detector, train, test = fit(config, rows, seed)
    figures = {who: m["auroc"] for who, m in evaluate(detector, test, anomalies, train, seed).items()}
    return figures | parts(detector, test, anomalies)


def corrupted(config: TrainConfig, seed: int) -> dict[str, float]:
    detector, train, test = fit(config, load_builtin("digits").values, seed)
    measured = evaluate_corruptions(detector, test, train, seed)
    figures = {f"{who}: {k}": v for who, m in measured.items() for k, v in m.items() if k.startswith("auroc")}
    transform, inverse = detector.preprocessor.transform, detector.preprocessor.inverse
    each = [parts(detector, test, inverse(x)) for x in corrupt_all(transform(test), seed).values()]
    return figures | {f"{who}: auroc": float(np.mean([m[who] for m in each])) for who in each[0]}


def psnr(config: TrainConfig, seed: int) -> dict[str, float]:
    """Denoising of test images, one step at a given or estimated sigma; dB with peak 2 on [-1, 1]."""
    detector, _, test = fit(config, load_builtin("digits").values, seed)
    clean = detector.preprocessor.transform(test)
    rng = np.random.default_rng(seed)
    out = {}
    for sigma in (0.1, 0.25, 0.5):
        # Noise may leave [0, 16]; `denoise` takes such rows as they are.
        noisy = test + 8 * sigma * rng.normal(size=test.shape).astype(np.float32)
        for name, given in (("given", sigma), ("estimated", None)):
            found = detector.preprocessor.transform(detector.denoise(noisy, sigma=given))
            out[f"sigma {sigma:g}, {name}"] = float(10 * np.log10(4 / np.mean((found - clean) ** 2)))
        out[f"sigma {sigma:g}, noisy"] = float(20 * np.log10(2 / sigma))
    return out


def table(store: Store, prefix: str, keys: list[str]) -> list[str]:
    """Mean over cells, and the spread (sd) over seeds of the seeds' means."""
    cells = {k: v for k, v in store.cells.items() if k.startswith(prefix)}
    seeds = sorted({k.split("/")[1] for k in cells})
    lines = [
        f"| | mean | sd over seeds | {' | '.join('seed ' + s for s in seeds)} |",
        "|---" * (3 + len(seeds)) + "|",
    ]
    for key in keys:
        each = [float(np.mean([v[key] for k, v in cells.items() if k.split("/")[1] == s])) for s in seeds]
        sd = np.std(each, ddof=1) if len(each) > 1 else float("nan")
        lines.append(
            f"| {key} | {np.mean(each):.4f} | {sd:.4f} | " + " | ".join(f"{v:.4f}" for v in each) + " |"
        )
    return lines


def write_report(store: Store) -> None:
    lines = ["# Digits", "", heading(store.head["run"]), (__doc__ or "").split("\n\n")[2], ""]
    titles = {
        "loco": "Leave-one-class-out AUROC",
        "corrupted": "Corrupted-digit AUROC",
        "psnr": "Denoising, PSNR in dB",
        "cd": "The energy trained by contrastive divergence (configs/digits-cd.yaml), corrupted digits",
    }
    for prefix, title in titles.items():
        cells = [v for k, v in store.cells.items() if k.split("/")[0] == prefix]
        if cells:
            lines += [f"## {title}", "", *table(store, prefix + "/", list(cells[0])), ""]
    store.path.with_suffix(".md").write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--cd", action="store_true", help="measure configs/digits-cd.yaml too")
    parser.add_argument("--fresh", action="store_true", help="do not go on from stored cells")
    args = parser.parse_args()
    config = read_yaml(TrainConfig, CONFIGS / "digits.yaml")
    settings: dict[str, Any] = {"digits": config.model_dump(mode="json")}
    store = Store(RESULTS / "digits.json", args.seeds, settings, args.fresh)
    work = [(f"corrupted/{s}", corrupted, (config, s)) for s in args.seeds]
    work += [(f"psnr/{s}", psnr, (config, s)) for s in args.seeds]
    work += [(f"loco/{s}/{c}", leave_one_class_out, (config, s, c)) for s in args.seeds for c in range(10)]
    if args.cd:
        cd = read_yaml(TrainConfig, CONFIGS / "digits-cd.yaml")
        work += [(f"cd/{s}", corrupted, (cd, s)) for s in args.seeds]
    for i, (cell, call, arguments) in enumerate(work, 1):
        if cell not in store.cells:
            store.add(cell, call(*arguments))
            write_report(store)
        figures = store.cells[cell]
        first = [
            f"{k} {v:.4f}" for k, v in figures.items() if k in ("model", "knn1") or k.endswith(": auroc")
        ]
        print(
            f"[{i}/{len(work)}] {cell}: {', '.join(first or [f'{k} {v:.2f}' for k, v in figures.items()])}",
            flush=True,
        )
    write_report(store)


if __name__ == "__main__":
    main()
