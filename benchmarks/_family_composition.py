"""Composition: how many samples have what AND, OR and NOT ask for, beside those of either model alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from ebm.compose import Composition
from ebm.data import load_builtin
from ebm.detector import Detector
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig

TITLE = "Composition"
HALF = 0.5
NETWORK = {"kind": "mlp", "width": 64, "depth": 3, "noise_conditional": True}
RESIDUAL = {"kind": "residual", "width": 128, "depth": 2}
KERNEL = {"kind": "kernel", "bandwidth": 0.1}


def learn(rows: np.ndarray, energy: dict[str, Any], image: bool, quick: bool, seed: int) -> Detector:
    sigmas = {"sigma_min": 0.15, "sigma_max": 4.0}
    term: dict[str, Any] = {"name": "only", "energy": energy}
    if energy["kind"] != "kernel":
        loop = {"n_steps": 20 if quick else 1500, "batch_size": 128, "learning_rate": 0.004}
        term |= {"objective": {"kind": "dsm", **sigmas}, "training": loop, "sigmas": [0.15]}
    sampler = sigmas | {"kind": "annealed_langevin", "step_size": 0.2, "n_levels": 4 if quick else 25}
    config = {
        "seed": seed,
        "preprocessing": {"kind": "image", "low": 0, "high": 16} if image else {"kind": "none"},
        "terms": [term],
        "sampling": {"term": "only", "sampler": sampler | {"n_steps_per_level": 8}},
    }
    return fit_detector(ModelConfig.model_validate(config), rows[30:], rows[:30])


def figures(first: Detector, second: Detector, has: Any, n: int, seed: int) -> dict[str, dict[str, float]]:
    """`has`: samples -> (which have the first attribute, which the second)."""
    asked = {
        "first alone": Composition([first]),
        "second alone": Composition([second]),
        "first AND second": Composition([first, second]),
        "first OR second, 3 to 1": Composition([first, second], [3.0, 1.0], mode="either"),
        "first NOT second, weight -.5": Composition([first, second], [1.0, -0.5]),
    }
    rows = {}
    for name, composition in asked.items():
        one, two = has(composition.generate(n, seed=seed + 1).samples)
        shares = {
            "first": one.mean(),
            "second": two.mean(),
            "both": (one & two).mean(),
            "one": (one | two).mean(),
        }
        rows[name] = {key: float(value) for key, value in shares.items()}
    return rows


def measure(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    random, out = np.random.default_rng(seed), {}
    n = 40 if quick else 500
    narrow, wide = random.uniform(-HALF, HALF, (2, 1000)), random.uniform(-3, 3, (2, 1000))
    upright, level = np.stack([narrow[0], wide[0]], 1), np.stack([wide[1], narrow[1]], 1)
    table = load_builtin("digits")
    order = random.permutation(len(table.values))
    x, y = table.values[order], np.asarray(table.labels)[order]
    judge = KNeighborsClassifier(5).fit(x.reshape(len(x), -1), y)

    def bands(samples: np.ndarray) -> Any:
        inside = np.abs(samples) < 2 * HALF
        return inside[:, 0], inside[:, 1]

    def digits(samples: np.ndarray) -> Any:
        found = judge.predict(samples.reshape(len(samples), -1))
        return found % 2 == 0, found < 5

    for name, energy in (("kernel", KERNEL), ("network", NETWORK)):
        one, two = (learn(rows, energy, False, quick, seed) for rows in (upright, level))
        found = figures(one, two, bands, n, seed)
        out |= {f"bands, {name}: {row}": cells for row, cells in found.items()}
    for name, energy in (("kernel", KERNEL), ("network", RESIDUAL)):
        one, two = (learn(x[which], energy, True, quick, seed) for which in (y % 2 == 0, y < 5))
        found = figures(one, two, digits, 20 if quick else 200, seed)
        out |= {f"digits, {name}: {row}": cells for row, cells in found.items()}
    return out


def report(results: list[dict]) -> list[str]:
    lines = [
        "Shares of samples in an upright (first) and in a level band of the plane (second); and of digits that",
        "are even (first) and below five (second), as five nearest neighbours among all digits see them. Two models",
        "trained apart, annealed Langevin on the sum of their energies. *kernel*: a closed form; *network*: denoising",
        "score matching. Of all digits .3 are both, and .7 one or the other.\n",
        "| | first | second | both | first or second |",
        "|---|---|---|---|---|",
    ]
    for row in results[0]:
        cells = []
        for column in ("first", "second", "both", "one"):
            values = [result[row][column] for result in results]
            cells.append(f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines
