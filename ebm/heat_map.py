"""Heat maps over the pictures they are of: what is odd glows red, what is more normal than the normal version blue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from ebm.explanation import Explanation
from ebm.pictures import grid, to_bytes
from ebm.pixel_maps import ExplainMethod
from ebm.preprocessing import ScaleImage
from ebm.steps import Progress, Steps

if TYPE_CHECKING:
    from ebm.detector import Detector

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

    Shows `anomaly_map` as far as it lies above its median, and nothing of images at or below the median normal energy;
    contributions as they are.

    Raises:
        BadInput: rows of a table.
    """
    maps = explanation.heat_map if explanation.anomaly_map is None else explanation.anomaly_map
    if explanation.map_method not in (None, "contributions"):
        maps = _above_usual(maps, explanation.energy, explanation.level)
    return _picture(maps, explanation.values, low, high)


class Heat(NamedTuple):
    """A picture (H', W', 3) uint8 of N images, their energies (N,), and the median energy of calibration rows."""

    picture: np.ndarray
    energy: np.ndarray
    level: float


def heat_steps(
    detector: Detector, values: Any, method: ExplainMethod | None = None
) -> Steps[Progress, None, Heat]:
    """`heat_picture` without an explanation, which takes hundreds of passes, unless `method` is 'contributions'.

    Raises:
        Unsupported: a model of tables, or that has nothing for this method. BadInput: images that do not fit.
    """
    schema = detector.preprocessor.schema()
    low, high = schema.get("low", 0), schema.get("high", 1)
    if method == "contributions":
        found = yield from detector.explain_steps(values, method=method)
        return Heat(heat_picture(found, low, high), found.energy, found.level)
    maps = yield from detector.pixel_maps_steps(values, method=method)
    summary, energy = detector.manifest.calibration, detector.energies(values)
    level = summary.mean + summary.sd * float(np.quantile(detector.calibration.scores, 0.5))
    images = cast(ScaleImage, detector.preprocessor).rows(values)
    return Heat(_picture(_above_usual(maps, energy, level), images, low, high), energy, level)


def _above_usual(maps: np.ndarray, energy: np.ndarray, level: float) -> np.ndarray:
    above = np.maximum(maps - np.median(maps, axis=(1, 2), keepdims=True), 0)
    return np.where((energy > level)[:, None, None], above, 0)


def _picture(maps: np.ndarray, values: Any, low: float, high: float) -> np.ndarray:
    shown = overlay(maps, np.asarray(values), low, high)
    scale = max(1, SIDE // max(shown.shape[1:3]))
    if len(shown) > 1:
        scale = max(1, scale // int(np.ceil(np.sqrt(len(shown)))))
        return grid(shown, 0, 255, scale=scale)
    return shown[0].repeat(scale, axis=0).repeat(scale, axis=1)
