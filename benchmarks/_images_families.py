"""The anomalies: nine families, two slight changes beside them, and which of them training has seen the like of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from _images_data import SIDE, Source, Split, to_model
from _images_letters import letters
from scipy.ndimage import gaussian_filter

PATCH = 8
NINE = (
    "mnist",
    "letters",
    "noise",
    "constant",
    "rot90",
    "vflip",
    "patch noise",
    "patch constant",
    "patch other",
)
BESIDE = ("brightness", "blur")
PATCHES = ("patch noise", "patch constant", "patch other")

# By kind of training negative (`ebm.negatives`): the families an image of which could be drawn from it, roughly.
RESEMBLED: dict[str, tuple[str, ...]] = {
    "noise": ("noise",),  # up to sd 1, clipped
    "gray": ("constant",),
    "smooth": ("constant",),  # weak fields are nearly even
    "blur": ("blur",),
    "brightness": ("brightness",),
    "inversion": ("brightness",),  # a background that is no longer black
    "rotate": ("rot90", "vflip"),  # a half turn of what is symmetric is a flip
    "flip": ("vflip",),
    "box_noise": ("patch noise",),
    "box_constant": ("patch constant",),
    "cutmix": ("patch other",),
    "mask_mix": ("patch other",),
    "patch_shuffle": ("patch other",),
    "bands": ("blur",),  # weaker high frequencies
    "low_rank": (),
    "mixup": (),
    "threshold": (),
    "erosion": (),
    "elastic": (),
    "phase": (),
    "latent": (),
}


class Family(NamedTuple):
    """Images (n, 32, 32) in [-1, 1], and where a patch was planted, what it really changed: (n, 32, 32) bool."""

    images: np.ndarray
    changed: np.ndarray | None = None


def families(source: Source, split: Split, seed: int) -> dict[str, Family]:
    """Every family of as many images as `split.altered` has; mnist only where digits are there."""
    rng = np.random.default_rng([seed, 1])
    x, n = split.altered, len(split.altered)
    found: dict[str, Family] = {}
    if len(source.mnist):
        found["mnist"] = Family(to_model(source.mnist[rng.permutation(len(source.mnist))[:n]]))
    found["letters"] = Family(letters(n, seed))
    found["noise"] = Family(uniform(rng, n))
    found["constant"] = Family(np.broadcast_to(level(rng, n), x.shape).copy())
    found["rot90"] = Family(np.rot90(x, 1, (1, 2)).copy())
    found["vflip"] = Family(x[:, ::-1].copy())
    found["patch noise"] = patched(x, uniform(rng, n), rng)
    found["patch constant"] = patched(x, np.broadcast_to(level(rng, n), x.shape), rng)
    found["patch other"] = patched(x, split.donors, rng)
    found["brightness"] = Family(np.clip(x + np.float32(0.3), -1, 1))
    found["blur"] = Family(gaussian_filter(x, (0, 1, 1)))
    return found


def uniform(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(-1, 1, (n, SIDE, SIDE)).astype(np.float32)


def level(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(-1, 1, (n, 1, 1)).astype(np.float32)


def patched(x: np.ndarray, content: np.ndarray, rng: np.random.Generator, side: int = PATCH) -> Family:
    """One square of each image (n, H, W) from the same place of `content` (n, H, W); the place is random."""
    n, height, width = x.shape
    top, left = rng.integers(0, height - side + 1, n), rng.integers(0, width - side + 1, n)
    rows, columns = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
    top, left = top[:, None, None], left[:, None, None]
    inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
    images = np.where(inside, content, x).astype(np.float32)
    return Family(images, images != x)


def negatives(config: Any) -> set[str]:
    """The kinds of negatives that the objectives of a configuration (as JSON values) name with a weight above 0."""

    def search(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "negatives":
                    yield from named(inner)
                else:
                    yield from search(inner)
        elif isinstance(value, (list, tuple)):
            for inner in value:
                yield from search(inner)

    def named(value: Any) -> Iterator[str]:
        for kind, weight in (value or {}).get("kinds", {}).items():
            if weight:
                yield str(kind)

    return set(search(config))


def resembled(kinds: set[str]) -> set[str]:
    """The families that training negatives of these kinds resemble.

    Raises:
        SystemExit: a kind that nobody has judged; it would count as no resemblance, in our favour.
    """
    if unknown := sorted(kinds - set(RESEMBLED)):
        raise SystemExit(f"_images_families.RESEMBLED does not say what {', '.join(unknown)} resemble")
    return {family for kind in kinds for family in RESEMBLED[kind]}
