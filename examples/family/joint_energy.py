"""A classifier is an energy-based model: which digit is it, and is it any?

The logits f(x)[y] of a classifier give the energies E(x, y) = -f(x)[y]. Cross-entropy fixes only their differences; the
level, E(x) = -logsumexp f(x), is free. Train that too, as the energy of p(x), and one network tells digits apart and
what is no digit from those that are.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from ebm.config import validate
from ebm.data import load_builtin
from ebm.detector import Detector
from ebm.evaluation.corruptions import patch_noise
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig


def train(density_weight: float, n_steps: int, images: np.ndarray, labels: np.ndarray) -> Detector:
    """density_weight 0 is the classifier alone."""
    joint = {
        "name": "joint",
        "energy": {"kind": "joint", "classes": list(range(10)), "width": 128, "depth": 2},
        "objective": {
            "kind": "joint",
            "density_weight": density_weight,
            "density": {"kind": "dsm", "sigma_min": 0.4},
        },
        "training": {
            "n_steps": n_steps,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "weight_decay": 1e-3,
            "ema": 0.99,
        },
    }
    config = {
        "preprocessing": {"kind": "image", "low": 0, "high": 16},
        "terms": [joint],
        "sampling": {"term": "joint", "n_steps": 300, "sampler": {"kind": "mala", "step_size": 0.05}},
    }
    model = validate(ModelConfig, config, "joint")
    return fit_detector(model, images[:1000], images[1000:1200], labels=labels[:1000])


def main(quick: bool = False) -> dict[str, float]:
    table = load_builtin("digits")
    assert table.labels is not None
    order = np.random.default_rng(0).permutation(len(table))
    images, labels = np.asarray(table.values)[order], table.labels[order]
    test, truth = images[1200:], labels[1200:].astype(str)
    # Each test digit again, with a patch of noise in it.
    damaged = patch_noise(test[:, None] / 8 - 1, np.random.default_rng(1))[:, 0] * 8 + 8

    figures = {}
    models = {}
    for name, weight in (("classifier", 0.0), ("joint", 10.0)):
        model = models[name] = train(weight, 20 if quick else 800, images, labels)
        accuracy = float(np.mean(np.array(model.classify(test).label) == truth))
        energy = np.concatenate([model.energies(test), model.energies(damaged)])
        auroc = float(roc_auc_score(np.repeat([0, 1], len(test)), energy))
        print(f"{name:10}  accuracy {accuracy:.3f}   damaged digits told by E(x): AUROC {auroc:.3f}")
        figures |= {f"{name} accuracy": accuracy, f"{name} AUROC": auroc}

    # E(x, y) for one y is the energy of p(x | y): chains on it draw that class.
    threes = models["joint"].generate(20, label=3, seed=0, n_steps=3 if quick else None).samples
    share = float(np.mean(np.array(models["classifier"].classify(threes).label) == "3"))
    print(f"of 20 samples of class 3, the plain classifier calls {share:.0%} a 3; the first of them:")
    for line in threes[0]:
        print("  " + "".join(" .:-=+*#%@"[int(ink / 16.01 * 10)] * 2 for ink in line))
    return figures | {"samples of the class": share}


if __name__ == "__main__":
    main()
