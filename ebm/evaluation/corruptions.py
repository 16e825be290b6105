"""Synthetic anomalies for images: nine ways to damage a normal picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

Corrupt = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def uniform_noise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-1, 1, x.shape)


def constant(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.broadcast_to(rng.uniform(-1, 1, (len(x), 1, 1, 1)), x.shape)


def rotate90(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    return np.rot90(x, 1, (2, 3))


def flip(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    return x[:, :, ::-1]


def _patch(x: np.ndarray, rng: np.random.Generator, fill: Corrupt) -> np.ndarray:
    """Replace one square patch of 3/8 of the side, at a random place in each image."""
    out, content = x.copy(), fill(x, rng)
    side = max(1, round(3 / 8 * min(x.shape[2:])))
    for i in range(len(x)):
        top, left = rng.integers(0, x.shape[2] - side + 1), rng.integers(0, x.shape[3] - side + 1)
        place = (i, slice(None), slice(top, top + side), slice(left, left + side))
        out[place] = content[place]
    return out


def patch_noise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _patch(x, rng, uniform_noise)


def patch_constant(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _patch(x, rng, constant)


def patch_other(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shift = rng.integers(1, max(len(x), 2), len(x))
    return _patch(x, rng, lambda x, _: x[(np.arange(len(x)) + shift) % len(x)])


def blur(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    return gaussian_filter(x, (0, 0, 1, 1))


def gaussian_noise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(x + rng.normal(0, 0.25, x.shape), -1, 1)


CORRUPTIONS: dict[str, Corrupt] = {
    "uniform_noise": uniform_noise,
    "constant": constant,
    "rotate90": rotate90,
    "flip": flip,
    "patch_noise": patch_noise,
    "patch_constant": patch_constant,
    "patch_other": patch_other,
    "blur": blur,
    "gaussian_noise": gaussian_noise,
}


def corrupt_all(x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Every kind applied to every image.

    Args:
        x: (N, C, H, W) in [-1, 1]; rotation needs H = W and is left out otherwise.
        seed: of all that is random.

    Returns:
        name -> (N, C, H, W), float32.
    """
    rng = np.random.default_rng(seed)
    square = x.shape[2] == x.shape[3]
    kinds = {k: f for k, f in CORRUPTIONS.items() if square or k != "rotate90"}
    return {kind: np.ascontiguousarray(f(x, rng), dtype=np.float32) for kind, f in kinds.items()}
