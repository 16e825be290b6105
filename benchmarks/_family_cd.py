"""Contrastive divergence: distance from a known density; digits of a class left out, with the noise check."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import CONFIGS
from sklearn.neighbors import NearestNeighbors

from ebm.config import read_yaml, validate
from ebm.data import load_builtin
from ebm.evaluation.metrics import auroc
from ebm.fitting import fit_detector
from ebm.noise_check import KINDS, check_noise
from ebm.training.config import ModelConfig, TrainConfig

TITLE = "Contrastive divergence"
EXAMPLE = Path(__file__).parents[1] / "examples" / "family" / "contrastive_divergence.py"
LEFT_OUT = (8, 3, 5, 1, 9, 2, 4, 6, 7, 0)  # class by seed


def configs() -> dict[str, TrainConfig]:
    """Three ways to the negatives; the mlp's persistent chains are those of its CD-20, gone on with."""
    short = read_yaml(TrainConfig, CONFIGS / "digits-cd.yaml")
    values = short.model_dump(mode="json")
    objective = values["terms"][0]["objective"]
    kept = {key: objective[key] for key in ("k_steps", "sampler", "l2", "data_noise")}
    values["terms"][0]["objective"] = {"kind": "persistent_cd", "buffer_size": 1024, **kept}
    recipe = read_yaml(TrainConfig, CONFIGS / "family" / "du-mordatch-digits.yaml")
    return {
        "CD-20, mlp": short,
        "persistent CD-20, mlp": validate(TrainConfig, values, "persistent"),
        "Du and Mordatch, conv": recipe,
    }


def measure(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    found = runpy.run_path(str(EXAMPLE))["main"](quick)
    out: dict[str, dict[str, float]] = {}
    for key, value in found.items():
        column, row = key.split(": ")
        out.setdefault(f"moons: {row}", {})[column] = value
    table = load_builtin("digits")
    y = np.asarray(table.labels)
    odd = LEFT_OUT[seed % len(LEFT_OUT)]
    normal = np.random.default_rng(seed).permutation(table.values[y != odd])
    train, held_out, test = np.split(normal, [1000, 1200])
    anomalies = table.values[y == odd]
    for name, config in configs().items():
        values: dict[str, Any] = config.model_dump(mode="json", include=set(ModelConfig.model_fields))
        values["seed"] = seed
        values["terms"][0]["training"]["n_steps"] = 3 if quick else values["terms"][0]["training"]["n_steps"]
        detector = fit_detector(validate(ModelConfig, values, name), train, held_out)
        scores = [detector.score(rows).anomaly_score for rows in (test, anomalies)]
        x = torch.from_numpy(detector.preprocessor.transform(test))
        noise = check_noise(detector.energy, x, seed=seed).aurocs
        out[f"digits: {name}"] = {"left_out": _auroc(*scores), **noise}
    near = NearestNeighbors(n_neighbors=1).fit(train.reshape(len(train), -1))
    far = [near.kneighbors(rows.reshape(len(rows), -1))[0][:, 0] for rows in (test, anomalies)]
    out["digits: 1-NN"] = {"left_out": _auroc(*far)}
    return out


def _auroc(normal: np.ndarray, odd: np.ndarray) -> float:
    return auroc(np.concatenate([normal, odd]), np.r_[np.zeros(len(normal)), np.ones(len(odd))])


def report(results: list[dict]) -> list[str]:
    def cell(row: str, column: str, digits: int) -> str:
        values = [result[row][column] for result in results if column in result[row]]
        if not values:
            return ""
        return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    lines = [
        "**Two moons**, whose density is known: KL(p || model) in nats with log Z summed over a grid, and the mean",
        "cosine of the two score functions; an mlp of width 64, 1,500 steps of 128 rows, one seed for all.\n",
        "| | KL | cosine |",
        "|---|---|---|",
    ]
    rows = list(results[0])
    for row in (row for row in rows if row.startswith("moons: ")):
        lines.append(f"| {row.removeprefix('moons: ')} | {cell(row, 'kl', 3)} | {cell(row, 'cosine', 3)} |")
    lines += [
        "",
        "**Digits 8x8**, AUROC of a class that was left out of training (8, 3, 5, ... by seed), and of noise against",
        "held-out digits. Below .5 the model takes the other for more normal than what it was trained on.\n",
        "| | class left out | " + " | ".join(f"{kind} noise" for kind in KINDS) + " |",
        "|---|---|---|---|---|",
    ]
    for row in (row for row in rows if row.startswith("digits: ")):
        cells = [cell(row, column, 3) for column in ("left_out", *KINDS)]
        lines.append(f"| {row.removeprefix('digits: ')} | " + " | ".join(cells) + " |")
    return lines
