"""The one rule by which an image of another size becomes one of the size that is wanted.

1. An image that is larger than the target in any direction is reduced, by one factor for both axes, until it fits;
   each new pixel is the mean of the area it stands for. A smaller one keeps its own scale: nothing is ever enlarged.
2. It is then centred, and what is left is filled with the median of its border pixels, channel by channel.

Stretching the axes unequally, or enlarging, would be simpler, but a stretched or blurred normal image is unlike all
that the model saw. Unequal resizing is known to inflate out-of-distribution scores: rows of another origin are then
told apart by how they were resized, not by what they show (Tack et al. 2020 found benchmarks that measured this).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ebm.errors import BadInput

Size = tuple[int, int]  # (height, width)
CHUNK = 1 << 20  # numbers of a batch that are worked on at once: few enough to stay in the cache


class Place(NamedTuple):
    """Where an image lands: its size (height, width) there, and the corner (top, left)."""

    height: int
    width: int
    top: int
    left: int
    factor: float  # source pixels a target pixel is wide and high, at least 1


def place(source: Size, target: Size) -> Place:
    """Where the rule puts an image of `source` within `target`.

    Args:
        source, target: (height, width), pixels.
    """
    factor = max(source[0] / target[0], source[1] / target[1], 1.0)
    # The nearest whole number of pixels: what is cut or wanting, under half a pixel in all, is shared by both sides.
    height, width = (
        min(max(round(length / factor), 1), room) for length, room in zip(source, target, strict=True)
    )
    return Place(height, width, (target[0] - height) // 2, (target[1] - width) // 2, factor)


def fit_to(image: np.ndarray, size: Size) -> np.ndarray:
    """The image (H, W) or (H, W, C) at `size` (height, width), by the rule above: (height, width[, C]) float32, in the
    units of the image, not rounded.

    An image that has this size comes back as it is.
    """
    return fit_all(image[None], size)[0]


def fit_all(images: np.ndarray, size: Size) -> np.ndarray:
    """`fit_to` for images of one size: (N, H, W[, C]) of any type of number -> (N, height, width[, C]) float32.

    Raises:
        BadInput: not images, or a side that is not at least 1.
    """
    if images.ndim not in (3, 4) or 0 in images.shape[1:]:
        raise BadInput(f"shape {images.shape} is not one of images, (N, H, W) or (N, H, W, C)")
    if min(size) < 1:
        raise BadInput(f"size {list(size)}: a side is at least 1 pixel")
    if images.shape[1:3] == tuple(size):
        return images.astype(np.float32, copy=False)
    at = place((images.shape[1], images.shape[2]), size)
    out = np.empty((len(images), *size, *images.shape[3:]), np.float32)
    step = max(1, CHUNK // math.prod(images.shape[1:]))
    for first in range(0, len(images), step):
        part = images[first : first + step]
        if at.factor > 1:
            part = _average(_average(part, 1, at.height, at.factor), 2, at.width, at.factor)
        part = part.astype(np.float32, copy=False)
        whole = out[first : first + step]
        whole[:] = _border_median(part)[:, None, None]
        whole[:, at.top : at.top + at.height, at.left : at.left + at.width] = part
    return out


def fit_mask(mask: np.ndarray, source: Size, size: Size) -> np.ndarray:
    """What hides a picture of `source` pixels, as the rule moves that picture: (height, width) bool.

    A pixel is hidden where any part of the area it stands for is; what is filled in around the picture is not.

    Args:
        mask: (h, w) bool, stretched over the picture where it has another size.
        source, size: (height, width) of the picture as sent, and as wanted.
    """
    at = place(source, size)
    out = np.zeros(size, bool)
    inner = mask
    for axis, (length, end) in enumerate(zip(source, (at.height, at.width), strict=True)):
        inner = _any(inner, axis, end, at.factor * mask.shape[axis] / length)
    out[at.top : at.top + at.height, at.left : at.left + at.width] = inner
    return out


def _spans(length: int, n: int, factor: float) -> list[tuple[int, int, np.ndarray]]:
    """For each of n pixels, each `factor` source pixels wide, together centred on `length` of them: the source pixels
    it touches, first and one past the last, and how much of each it covers."""
    spans = []
    start = (length - n * factor) / 2
    for i in range(n):
        low = min(max(start + i * factor, 0.0), length)
        high = min(max(start + (i + 1) * factor, 0.0), length)
        # A rounding error is no share of a pixel.
        first = min(math.floor(low + 1e-6), length - 1)
        last = max(math.ceil(high - 1e-6), first + 1)
        edges = np.arange(first, last)
        spans.append((first, last, np.minimum(high, edges + 1) - np.maximum(low, edges)))
    return spans


def _average(images: np.ndarray, axis: int, n: int, factor: float) -> np.ndarray:
    """Means along one axis, float32. One target line at a time: the memory is that of the answer."""
    shape = list(images.shape)
    shape[axis] = n
    out = np.empty(shape, np.float32)
    lines, new = np.moveaxis(images, axis, 0), np.moveaxis(out, axis, 0)
    for i, (first, last, cover) in enumerate(_spans(images.shape[axis], n, factor)):
        weights = (cover / cover.sum()).astype(np.float32)
        new[i] = np.tensordot(weights, lines[first:last].astype(np.float32), 1)
    return out


def _any(mask: np.ndarray, axis: int, n: int, factor: float) -> np.ndarray:
    lines = np.moveaxis(mask, axis, 0)
    spans = _spans(mask.shape[axis], n, factor)
    return np.moveaxis(np.stack([lines[first:last].any(0) for first, last, _ in spans]), 0, axis)


def _border_median(images: np.ndarray) -> np.ndarray:
    """Of every image and channel: (N,) or (N, C)."""
    edges = [images[:, 0], images[:, 1:-1, 0], images[:, 1:-1, -1], images[:, -1]]
    if images.shape[1] == 1:
        edges = edges[:1]
    elif images.shape[2] == 1:
        edges = [images[:, :, 0]]
    return np.median(np.concatenate(edges, axis=1), axis=1).astype(np.float32)
