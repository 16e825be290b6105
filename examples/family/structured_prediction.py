"""Structured prediction: y is whatever goes best with x.

An energy E(x, y) of pairs says how badly a picture x and a mask y go together; the prediction is the y of least energy,
found by gradient descent on y. Unlike a classifier of pixels, E sees the whole mask at once. Here x is a digit under
clutter as bright as its ink, and y the digit's own pixels.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from ebm.config import validate
from ebm.data import load_builtin
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig


def overlap(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean intersection over union of masks (N, 8, 8) bool."""
    both, either = (predicted & truth).sum((1, 2)), (predicted | truth).sum((1, 2))
    return float(np.mean(both / np.maximum(either, 1)))


def by_pixels(pictures: np.ndarray, masks: np.ndarray, test: np.ndarray) -> np.ndarray:
    """64 logistic regressions, each of one pixel of the mask on the whole picture."""
    x, y = pictures.reshape(len(pictures), -1) / 8 - 1, masks.reshape(len(masks), -1)
    found = np.zeros((len(test), 64), bool)
    for pixel in np.flatnonzero(y.any(0)):
        model = LogisticRegression(C=0.1, max_iter=300).fit(x, y[:, pixel])
        found[:, pixel] = model.predict(test.reshape(len(test), -1) / 8 - 1)
    return found.reshape(test.shape)


def main(quick: bool = False) -> dict[str, float]:
    pairs = np.asarray(load_builtin("digit_masks").values)  # (1797, 8, 8, 2): picture, mask
    pairs = pairs[np.random.default_rng(0).permutation(len(pairs))]
    train, held_out, test = pairs[:1300], pairs[1300:1400], pairs[1400 : 1450 if quick else None]
    truth = test[..., 1] > 8

    term = {
        "name": "pairs",
        "energy": {"kind": "structured", "n_targets": 1, "width": 16, "depth": 4},
        "objective": {"kind": "structured_dsm", "sigma": 1.0},
        "training": {"n_steps": 5 if quick else 900, "batch_size": 32, "learning_rate": 4e-3, "ema": 0.99},
    }
    config = {"preprocessing": {"kind": "image", "low": 0, "high": 16}, "terms": [term]}
    model = fit_detector(validate(ModelConfig, config, "pairs"), train, held_out)

    question = test.copy()
    question[..., 1] = np.nan  # the mask is missing, and `impute` finds the one of least energy
    answer = model.impute(question, n_draws=1).rows
    guess = np.asarray(answer)[..., 1] > 8

    levels = np.linspace(1, 15, 15)
    threshold = max(levels, key=lambda t: overlap(train[..., 0] > t, train[..., 1] > 8))
    figures = {
        "threshold": overlap(test[..., 0] > threshold, truth),
        "energy": overlap(guess, truth),
    }
    if not quick:
        figures["logistic"] = overlap(by_pixels(train[..., 0], train[..., 1] > 8, test[..., 0]), truth)
    for name, figure in figures.items():
        print(f"{name:10}  intersection over union {figure:.3f}")
    print("picture           mask              prediction")
    for seen, mask, found in zip(test[0, ..., 0], truth[0], guess[0], strict=True):
        ink = "".join(" .:-=+*#%@"[int(v / 16.01 * 10)] * 2 for v in seen)
        print("  ".join([ink, *("".join("##" if v else ". " for v in line) for line in (mask, found))]))
    return figures


if __name__ == "__main__":
    main()
