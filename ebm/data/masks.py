"""Pairs of a cluttered picture and the mask of the digit in it: an input and an output with structure."""

from __future__ import annotations

import numpy as np

SEED = 0  # the set is always the same one
STROKES = 3
NOISE = 2.0
THRESHOLD = 5.0  # of ink that belongs to the digit


def digit_masks(digits: np.ndarray) -> np.ndarray:
    """(N, 8, 8) in 0 to 16 -> (N, 8, 8, 2) in 0 to 16: the picture, and 16 where the digit has ink of 5 and more.

    Over the picture lie three straight strokes, as bright as ink and three to six pixels long, and Gaussian noise of
    sd 2: what is bright is digit or stroke, and only the shape tells which.
    """
    rng = np.random.default_rng(SEED)
    mask = np.where(digits >= THRESHOLD, 16.0, 0.0)
    clutter = np.stack([_strokes(rng, digits.shape[1:]) for _ in digits])
    picture = np.maximum(digits, clutter) + rng.normal(0, NOISE, digits.shape)
    return np.stack([picture.clip(0, 16), mask], axis=3).astype(np.float32)


def _strokes(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(size)
    for _ in range(STROKES):
        angle, length, ink = rng.uniform(0, np.pi), rng.integers(3, 7), rng.uniform(8, 16)
        start = rng.uniform(0, size)
        along = start[:, None] + np.outer([np.sin(angle), np.cos(angle)], np.arange(length))
        rows, columns = np.round(along).astype(int)
        inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
        out[rows[inside], columns[inside]] = ink
    return out
