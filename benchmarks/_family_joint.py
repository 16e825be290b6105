"""The joint energy beside its own classifier, and structured prediction beside classifiers of pixels."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC
from torch import Tensor

from ebm.config import validate
from ebm.data import load_builtin
from ebm.detector import Detector
from ebm.energies import JointEnergy
from ebm.energies.structured import FullResolution
from ebm.errors import Diverged
from ebm.evaluation.corruptions import corrupt_all
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig

TITLE = "Joint energies and structured prediction"
LANGEVIN = {"kind": "langevin", "step_size": 0.02, "noise_scale": 0.05, "box": [-1.5, 1.5]}
PAPER = {"kind": "langevin", "step_size": 1.0, "noise_scale": 0.01}
CHAINS = {"kind": "persistent_cd", "buffer_size": 2000}
CROSS_ENTROPY = "cross-entropy alone"
JOINT: dict[str, dict[str, Any]] = {
    CROSS_ENTROPY: {"density_weight": 0.0},
    "joint, dsm at sigma .4": {"density_weight": 10.0, "density": {"kind": "dsm", "sigma_min": 0.4}},
    "joint, persistent_cd": {
        "density_weight": 0.03,
        "density": {**CHAINS, "k_steps": 10, "sampler": LANGEVIN, "data_noise": 0.2, "l2": 0.001},
    },
    "joint, as published": {
        "density_weight": 1.0,
        "density": {
            **CHAINS,
            "k_steps": 20,
            "sampler": PAPER,
            "data_noise": 0.03,
            "l2": 0.0,
            "buffer_size": 10_000,
        },
    },
}
PAIRS: dict[str, tuple[dict[str, Any], int]] = {
    "structured_dsm at sigma 1": ({"kind": "structured_dsm", "sigma": 1.0}, 900),
    "structured, 10 Langevin steps": (
        {
            "kind": "structured",
            "k_steps": 10,
            "data_noise": 0.3,
            "sampler": {"kind": "langevin", "step_size": 0.05, "box": [-1.5, 1.5]},
        },
        400,
    ),
}


def measure(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    return {**_joint(quick, seed), **_pairs(quick, seed)}


def _shuffled(name: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    table = load_builtin(name)
    assert table.labels is not None
    order = np.random.default_rng(seed).permutation(len(table))
    return np.asarray(table.values)[order], table.labels[order]


def _model(term: dict[str, Any], seed: int, **more: Any) -> ModelConfig:
    images = {"kind": "image", "low": 0, "high": 16}
    return validate(
        ModelConfig,
        {"seed": seed, "preprocessing": images, "terms": [{"name": "only", **term}], **more},
        "model",
    )


# -- classes ---------------------------------------------------------------------------------------------------------


def _joint(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    images, labels = _shuffled("digits", seed)
    test, truth = images[1200:], labels[1200:].astype(str)
    settings: Any = {"C": 10, "gamma": 0.001}
    judge = SVC(**settings).fit(images[:1000].reshape(-1, 64), labels[:1000])
    damaged = corrupt_all(test[:, None].astype(np.float32) / 8 - 1, seed)
    found: dict[str, dict[str, float]] = {}
    for name, objective in JOINT.items():
        began = time.process_time()
        term = {
            "energy": {"kind": "joint", "classes": list(range(10)), "width": 128, "depth": 2},
            "objective": {"kind": "joint", **objective},
            "training": {
                "n_steps": 5 if quick else 800,
                "batch_size": 64,
                "learning_rate": 2e-3,
                "weight_decay": 1e-3,
                "ema": 0.99,
            },
        }
        sampling = {
            "term": "only",
            "n_steps": 2 if quick else 200,
            "sampler": {"kind": "mala", "step_size": 0.05},
        }
        config = _model(term, seed, sampling=sampling)
        try:
            model = fit_detector(config, images[:1000], images[1000:1200], labels=labels[:1000])
        except Diverged:
            found[name] = {"diverged": 1.0}
            continue
        seconds = time.process_time() - began
        classes = model.classify(test)
        right = np.array(classes.label) == truth
        places = [classes.classes.index(y) for y in truth]
        nll = -np.log(np.maximum(classes.probabilities[np.arange(len(truth)), places], 1e-12)).mean()
        row = {
            "diverged": 0.0,
            "accuracy": float(right.mean()),
            "log_loss": float(nll),
            "auroc": _auroc(model, test, damaged, "energy"),
            "seconds": seconds,
        }
        if name == CROSS_ENTROPY:
            row["auroc_softmax"] = _auroc(model, test, damaged, "softmax")
        if objective["density_weight"]:
            row["samples"] = _of_their_class(model, judge, 2 if quick else 10)
        found[name] = row
    return found


def _auroc(model: Detector, test: np.ndarray, damaged: dict[str, np.ndarray], by: str) -> float:
    """Mean over the nine kinds of damage."""

    def figure(x: Tensor) -> np.ndarray:
        energy = model.energy.terms["only"]
        assert isinstance(energy, JointEnergy)
        with torch.no_grad():
            logits = -energy.class_energies(x)
            return (energy(x) if by == "energy" else -logits.softmax(1).amax(1)).numpy()

    own = figure(torch.from_numpy(model.preprocessor.transform(test)))
    others = [figure(torch.from_numpy(x)) for x in damaged.values()]
    return float(
        np.mean(
            [roc_auc_score(np.repeat([0, 1], [len(own), len(o)]), np.concatenate([own, o])) for o in others]
        )
    )


def _of_their_class(model: Detector, judge: SVC, n: int) -> float:
    """Share of samples of each class that a support vector machine takes for that class."""
    hits = [
        (judge.predict(model.generate(n, label=y, seed=y).samples.reshape(n, -1)) == y).mean()
        for y in range(10)
    ]
    return float(np.mean(hits))


# -- pairs -----------------------------------------------------------------------------------------------------------


def overlap(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean intersection over union of masks (N, H, W) bool."""
    both, either = (predicted & truth).sum((1, 2)), (predicted | truth).sum((1, 2))
    return float(np.mean(both / np.maximum(either, 1)))


def _pairs(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    pairs, _ = _shuffled("digit_masks", seed)
    train, held_out, test = pairs[:1300], pairs[1300:1400], pairs[1400 : 1450 if quick else None]
    truth = test[..., 1] > 8
    levels = np.linspace(1, 15, 15)
    level = max(levels, key=lambda t: overlap(train[..., 0] > t, train[..., 1] > 8))
    found = {
        "threshold": {"iou": overlap(test[..., 0] > level, truth)},
        "logistic regression of each pixel": {"iou": overlap(_logistic(train, test, quick), truth)},
        "convolutions by cross-entropy": {"iou": overlap(_network(train, test, quick, seed), truth)},
    }
    for name, (objective, n_steps) in PAIRS.items():
        began = time.process_time()
        term = {
            "energy": {"kind": "structured", "n_targets": 1, "width": 16, "depth": 4},
            "objective": objective,
            "training": {
                "n_steps": 3 if quick else n_steps,
                "batch_size": 32,
                "learning_rate": 3e-3,
                "ema": 0.99,
            },
        }
        model = fit_detector(_model(term, seed), train, held_out)
        seconds = time.process_time() - began
        question = test.copy()
        question[..., 1] = np.nan
        one = np.asarray(model.impute(question, n_draws=1).rows)[..., 1] > 8
        found[name] = {"iou": overlap(one, truth), "seconds": seconds}
        few = np.asarray(model.impute(question[:100], n_draws=2 if quick else 8).rows)[..., 1] > 8
        found[name] |= {
            "iou_first_100": overlap(one[:100], truth[:100]),
            "iou_8_starts": overlap(few, truth[:100]),
        }
    return found


def _logistic(train: np.ndarray, test: np.ndarray, quick: bool) -> np.ndarray:
    x, y = train[..., 0].reshape(len(train), -1) / 8 - 1, (train[..., 1] > 8).reshape(len(train), -1)
    seen = test[..., 0].reshape(len(test), -1) / 8 - 1
    found = np.zeros(seen.shape, bool)
    for pixel in np.flatnonzero(y.any(0))[: 4 if quick else None]:
        found[:, pixel] = LogisticRegression(C=0.1, max_iter=300).fit(x, y[:, pixel]).predict(seen)
    return found.reshape(test.shape[:3])


def _network(train: np.ndarray, test: np.ndarray, quick: bool, seed: int) -> np.ndarray:
    """The network that is the energy's b(x), as a classifier of pixels."""
    torch.manual_seed(seed)
    net, n_steps = FullResolution(1, 1, 16, 4), 3 if quick else 900
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    x, y = (
        torch.from_numpy(train[..., 0])[:, None] / 8 - 1,
        torch.from_numpy(train[..., 1] > 8)[:, None].float(),
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        batch = torch.randint(len(x), (32,), generator=generator)
        loss = F.binary_cross_entropy_with_logits(net(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return (net(torch.from_numpy(test[..., 0])[:, None] / 8 - 1)[:, 0] > 0).numpy()


# -- report ----------------------------------------------------------------------------------------------------------


def report(results: list[dict]) -> list[str]:
    def cell(row: str, column: str, digits: int = 3) -> str:
        given = [one[row][column] for one in results if column in one.get(row, {})]
        values = [v for v in given if v is not None and math.isfinite(v)]
        if not values:
            return ""
        mean = f"{np.mean(values):.{digits}f}"
        return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    lines = [
        "scikit-learn's digits, 1,000 to train, 597 to test; one perceptron (128, 128, 10) in every row. AUROC: test",
        "digits against the same digits damaged in nine ways, by E(x), the mean over the ways; cross-entropy alone has",
        f"{cell(CROSS_ENTROPY, 'auroc_softmax')} by its largest class probability. Samples: the share of samples of a",
        "class that a support vector machine takes for it.",
        "",
        "| objective | accuracy | log loss, nats | AUROC | samples of their class | seconds | diverged |",
        "|---|---|---|---|---|---|---|",
    ]
    columns = (("accuracy", 3), ("log_loss", 3), ("auroc", 3), ("samples", 2), ("seconds", 0))
    for row in JOINT:
        diverged = int(sum(one[row].get("diverged", 0) for one in results if row in one))
        cells = " | ".join(cell(row, column, digits) for column, digits in columns)
        lines.append(f"| {row} | {cells} | {diverged} of {len(results)} |")
    lines += [
        "",
        "The mask of a digit under clutter (`digit_masks`, 8 x 8, 1,300 pairs to train, 397 to test): intersection",
        "over union, mean over test pictures; of the first 100 by one start of the descent, and by the best of eight.",
        "",
        "| predictor | IoU | first 100, 1 start | 8 starts | seconds |",
        "|---|---|---|---|---|",
    ]
    columns = (("iou", 3), ("iou_first_100", 3), ("iou_8_starts", 3), ("seconds", 0))
    for row in ("threshold", "logistic regression of each pixel", "convolutions by cross-entropy", *PAIRS):
        lines.append(
            f"| {row} | " + " | ".join(cell(row, column, digits) for column, digits in columns) + " |"
        )
    return lines
