"""Contributions of pixels as pictures: what is odd glows red, what is more normal than the normal version blue."""

from __future__ import annotations

import numpy as np

from ebm.explanation import Explanation
from ebm.pictures import grid, to_bytes

SIDE = 256  # pixels of one picture, about: small images are enlarged


def overlay(maps: np.ndarray, images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Contributions (N, H, W) over the images (N, H, W) or (N, H, W, C) that they belong to: (N, H, W, 3) uint8.

    The image shows in gray. Where a contribution is |c|, the colour of its sign covers |c| / max |c| of it, the maximum
    being that picture's own; what contributes nothing stays gray.
    """
    from matplotlib import colormaps

    gray = to_bytes(images, low, high) / 255.0
    gray = gray.mean(3) if gray.ndim == 4 else gray
    largest = np.abs(maps).max((1, 2), keepdims=True)
    share = maps / np.where(largest > 0, largest, 1)
    colour = colormaps["bwr"](0.5 + 0.5 * np.sign(share))[..., :3]
    weight = np.abs(share)[..., None] ** 0.7  # what is half as strong shall still be seen
    shown = (1 - weight) * (0.15 + 0.6 * gray[..., None]) + weight * colour
    return np.rint(255 * shown).astype(np.uint8)


def heat_picture(explanation: Explanation, low: float, high: float) -> np.ndarray:
    """The `overlay` of one image, or a grid of several, enlarged where they are small: (H', W', 3) uint8.

    Raises:
        BadInput: rows of a table.
    """
    maps = overlay(explanation.heat_map, np.asarray(explanation.values), low, high)
    scale = max(1, SIDE // max(maps.shape[1:3]))
    if len(maps) > 1:
        scale = max(1, scale // int(np.ceil(np.sqrt(len(maps)))))
        return grid(maps, 0, 255, scale=scale)
    return maps[0].repeat(scale, axis=0).repeat(scale, axis=1)
