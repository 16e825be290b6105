"""AND, OR and NOT of energies: models that were trained apart, and are asked for together.

Energies add where densities multiply: E_A + E_B is low only where both are (AND). The soft minimum of two energies is
low where either is (OR), and E_A - w E_B where A is and B is not (NOT). No model is trained again for it (Du, Li and
Mordatch 2020). Here one model knows an upright band of the plane, the other a level one; then the two are of digits.
"""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from ebm.compose import Composition
from ebm.data import load_builtin
from ebm.detector import Detector
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig

HALF = 0.5  # width of a band


def learn(name: str, rows: np.ndarray, image: bool, levels: int) -> Detector:
    """A kernel energy, the closed form of what denoising score matching would learn from these rows."""
    sampler = {"kind": "annealed_langevin", "sigma_min": 0.15, "sigma_max": 4.0, "step_size": 0.2}
    config = {
        "name": name,
        "preprocessing": {"kind": "image", "low": 0, "high": 16} if image else {"kind": "none"},
        "terms": [{"name": "kernel", "energy": {"kind": "kernel", "bandwidth": 0.1}}],
        "sampling": {"term": "kernel", "sampler": sampler | {"n_levels": levels, "n_steps_per_level": 8}},
    }
    return fit_detector(ModelConfig.model_validate(config), rows[30:], rows[:30])


def bands(n: int, levels: int) -> dict[str, float]:
    random = np.random.default_rng(0)
    narrow, wide = random.uniform(-HALF, HALF, (2, 600)), random.uniform(-3, 3, (2, 600))
    upright = learn("upright", np.stack([narrow[0], wide[0]], 1), False, levels)
    level = learn("level", np.stack([wide[1], narrow[1]], 1), False, levels)

    def shares(composition: Composition) -> np.ndarray:
        x = composition.generate(n, seed=1).samples
        inside = np.abs(x) < 2 * HALF
        return np.array([inside[:, 0].mean(), inside[:, 1].mean(), inside.all(1).mean()])

    rows = {
        "upright alone": shares(Composition([upright])),
        "level alone": shares(Composition([level])),
        "AND": shares(Composition([upright, level])),
        "OR, 3 to 1": shares(Composition([upright, level], [3, 1], mode="either")),
        "upright NOT level": shares(Composition([upright, level], [1.0, -0.5])),
    }
    print(f"{'samples that lie in':22} {'upright':>8} {'level':>8} {'both':>8}")
    for name, row in rows.items():
        print(f"{name:22} " + " ".join(f"{share:8.2f}" for share in row))
    return {
        "bands_alone": float(max(rows["upright alone"][2], rows["level alone"][2])),
        "bands_and": float(rows["AND"][2]),
        "bands_or": float(rows["OR, 3 to 1"][:2].sum() - rows["OR, 3 to 1"][2]),
        "bands_not": float(rows["upright NOT level"][1]),
    }


def digits(n: int, levels: int) -> dict[str, float]:
    table = load_builtin("digits")
    y, x = np.asarray(table.labels), table.values
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order]
    judge = KNeighborsClassifier(5).fit(x.reshape(len(x), -1), y)  # says what a sample shows
    even = learn("even", x[y % 2 == 0], True, levels)
    small = learn("small", x[y < 5], True, levels)

    def shares(composition: Composition) -> tuple[float, float, float]:
        found = judge.predict(composition.generate(n, seed=1).samples.reshape(n, -1))
        is_even, is_small = found % 2 == 0, found < 5
        return float(is_even.mean()), float(is_small.mean()), float((is_even & is_small).mean())

    rows = {
        "even alone": shares(Composition([even])),
        "below five alone": shares(Composition([small])),
        "AND": shares(Composition([even, small])),
        "below five NOT even": shares(Composition([small, even], [1.0, -0.5])),
    }
    print(f"\n{'digits that are':22} {'even':>8} {'< 5':>8} {'both':>8}")
    for name, row in rows.items():
        print(f"{name:22} " + " ".join(f"{share:8.2f}" for share in row))
    return {
        "digits_alone": max(rows["even alone"][2], rows["below five alone"][2]),
        "digits_and": rows["AND"][2],
        "digits_not": rows["below five NOT even"][0],
    }


def main(quick: bool = False) -> dict[str, float]:
    levels = 3 if quick else 25
    return bands(20 if quick else 1000, levels) | digits(8 if quick else 200, levels)


if __name__ == "__main__":
    main()
