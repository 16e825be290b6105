"""scikit-image's filters, their parameters chosen on training images: what needs no learning."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

Filter = Callable[[np.ndarray], np.ndarray]  # (n, H, W) -> (n, H, W)
GRIDS = {
    "NL-means": [
        {"patch_size": size, "patch_distance": distance, "h": h}
        for size, distance, h in product((3, 5), (5, 9), (0.4, 0.6, 0.8, 1.0))
    ],
    "TV": [{"weight": weight} for weight in (0.3, 0.5, 0.7, 0.9, 1.1, 1.4, 1.8)],
    "median": [{"size": size} for size in (3, 5)],
}


def psnr(found: np.ndarray, clean: np.ndarray, where: np.ndarray | None = None) -> float:
    """10 log10(4 / mean squared error) in dB, on images in [-1, 1], to which `found` is clipped; over the pixels
    `where`, if given."""
    if found.shape != clean.shape:
        raise ValueError(
            f"images of shape {found.shape} beside {clean.shape}"
        )  # else they would be broadcast
    error = np.square(np.clip(found, -1, 1) - clean, dtype=np.float64)
    return float(10 * np.log10(4 / (error if where is None else error[where]).mean()))


def run(name: str, x: np.ndarray, sigma: float, options: dict[str, float]) -> np.ndarray:
    """One of skimage's filters on each image; `h` and `weight` are in units of sigma."""
    from skimage.filters import median
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

    if name == "NL-means":
        rest = {k: int(v) for k, v in options.items() if k != "h"}
        return np.stack(
            [denoise_nl_means(i, h=options["h"] * sigma, sigma=sigma, fast_mode=False, **rest) for i in x]
        )
    if name == "TV":
        return np.stack(
            [denoise_tv_chambolle(i, weight=options["weight"] * sigma, max_num_iter=200) for i in x]
        )
    size = int(options["size"])
    return np.stack([median(i, np.ones((size, size))) for i in x])


def tuned(
    name: str, clean: np.ndarray, noisy: np.ndarray, sigma: float = 1.0
) -> tuple[Filter, dict[str, float]]:
    """The filter with the parameters of the highest PSNR on these (training) images, and the parameters."""
    best = max(GRIDS[name], key=lambda options: psnr(run(name, noisy, sigma, options), clean))
    return lambda x: run(name, x, sigma, best), best


def biharmonic(x: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """x (n, H, W) with the pixels `missing` (n, H, W) filled smoothly from those around them."""
    from skimage.restoration import inpaint_biharmonic

    return np.stack([inpaint_biharmonic(np.where(m, 0, i), m) for i, m in zip(x, missing, strict=True)])


def salt_and_pepper(x: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Every pixel black or white with probability `share`."""
    hit, white = rng.random(x.shape) < share, rng.random(x.shape) < 0.5
    return np.where(hit, np.where(white, 1, -1), x).astype(np.float32)


def blocks(shape: tuple[int, ...], side: int, frame: int, rng: np.random.Generator) -> np.ndarray:
    """(n, H, W) bool: one square each, at a random place at least `frame` from the border."""
    missing = np.zeros(shape, bool)
    for one in missing:
        top, left = (int(rng.integers(frame, length - frame - side + 1)) for length in one.shape)
        one[top : top + side, left : left + side] = True
    return missing
