"""AUROC over the pixels of heat maps: do they glow where a patch was planted?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import CONFIGS
from _images_data import Sizes
from _images_families import PATCHES, Family, patched
from _images_model import Fitted
from _images_peers import Training

from ebm import load, resolve
from ebm.data import load_builtin, split_normal
from ebm.detector import Detector
from ebm.errors import EBMError
from ebm.evaluation.metrics import auroc
from ebm.pixel_maps import METHODS

EXPLAINED, MAPPED = 12, 500  # images a family: contributions along a path take seconds each, maps a fraction
Maps = Callable[[np.ndarray], np.ndarray]  # images (n, H, W) -> (n, H, W), larger where more anomalous


def pixel_auroc(maps: np.ndarray, changed: np.ndarray) -> dict[str, float]:
    """Of maps (n, H, W) against the pixels that a patch really changed, (n, H, W) bool.

    pooled: over the pixels of all images together; image: the mean of each image's own, over those that were changed.
    """
    some = [i for i in range(len(maps)) if changed[i].any() and not changed[i].all()]
    return {
        "pooled": auroc(maps.ravel(), changed.ravel().astype(int)),
        "image": float(np.mean([auroc(maps[i].ravel(), changed[i].ravel().astype(int)) for i in some])),
    }


def measured(maps: Maps, families: dict[str, Family], n: int) -> dict[str, Any]:
    """Figures of the first n images of each patch family; or the reason why there are none."""
    began, figures = time.process_time(), {}
    for name in PATCHES:
        family = families[name]
        assert family.changed is not None
        try:
            figures[name] = pixel_auroc(maps(family.images[:n]), family.changed[:n])
        except EBMError as error:
            return {"error": str(error)}
    n = sum(min(n, len(families[name].images)) for name in PATCHES)
    return {"families": figures, "ms_an_image": 1e3 * (time.process_time() - began) / n, "n": n}


def ways(
    detector: Detector, user: Callable[[np.ndarray], np.ndarray], sizes: Sizes
) -> dict[str, tuple[Maps, int]]:
    """The maps a detector has for model-space images, and how many images each is worth its time."""
    found: dict[str, tuple[Maps, int]] = {
        "explain": (lambda x: detector.explain(user(x)).heat_map, min(sizes.maps, EXPLAINED))
    }
    quick: Any = getattr(detector, "pixel_maps", None)
    for method in METHODS if quick is not None else ():
        found[method] = (
            lambda x, m=method: np.asarray(quick(user(x), method=m)),
            min(sizes.families, MAPPED),
        )
    return found


def model(
    fitted: Fitted, user: Callable[[np.ndarray], np.ndarray], families: dict[str, Family], sizes: Sizes
) -> dict[str, Any]:
    """By way of explaining: pixel AUROC of each patch family."""
    return {k: measured(maps, families, n) for k, (maps, n) in ways(fitted.detector, user, sizes).items()}


def peers(training: Training, families: dict[str, Family], sizes: Sizes) -> dict[str, Any]:
    """The same of two maps that need no model: what 100 principal components leave, and the difference to the nearest
    training image."""
    from sklearn.neighbors import NearestNeighbors

    pca, shape = training.pca(100), training.images.shape[1:]
    index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(training.flat)

    def left(x: np.ndarray) -> np.ndarray:
        rows = x.reshape(len(x), -1)
        return np.square(rows - pca.inverse_transform(pca.transform(rows))).reshape(-1, *shape)

    def nearest(x: np.ndarray) -> np.ndarray:
        rows = x.reshape(len(x), -1)
        return np.square(rows - training.flat[index.kneighbors(rows)[1][:, 0]]).reshape(-1, *shape)

    return {
        "PCA100 residual": measured(left, families, sizes.families),
        "difference to the nearest training image": measured(nearest, families, sizes.families),
    }


def digits(seed: int, n: int = 100) -> dict[str, Any]:
    """The shipped digits model on n of its own test digits with a 3x3 patch."""
    detector = load(resolve(CONFIGS.parent / "models", "digits"))
    rows = load_builtin("digits").values
    split, told = detector.manifest.data, detector.manifest.training.get("split", {})
    test = split_normal(len(rows), told.get("train", 0.7), told.get("calibration", 0.1), split.seed).test
    x = detector.preprocessor.transform(rows[test])[:, 0]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    x, other = x[order[:n]], x[order[n : 2 * n]]
    content = {
        "patch noise": rng.uniform(-1, 1, x.shape).astype(np.float32),
        "patch constant": np.broadcast_to(rng.uniform(-1, 1, (n, 1, 1)), x.shape).astype(np.float32),
        "patch other": other,
    }
    families = {name: patched(x, filling, rng, side=3) for name, filling in content.items()}
    schema = detector.manifest.input
    low, high = float(schema["low"]), float(schema["high"])

    def user(images: np.ndarray) -> np.ndarray:
        return low + (images + 1) * ((high - low) / 2)

    return {k: measured(maps, families, n) for k, (maps, _) in ways(detector, user, Sizes()).items()}
