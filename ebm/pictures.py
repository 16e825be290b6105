"""Images in user units to PNG: one picture, or a grid of many."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def to_bytes(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Pixel values in [low, high] to uint8 0..255, rounded and clipped; any shape."""
    scaled = (np.asarray(images, dtype=np.float64) - low) / (high - low) * 255
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def grid(
    images: np.ndarray, low: float, high: float, *, scale: int = 1, gap: int = 1, across: int | None = None
) -> np.ndarray:
    """Images (N, H, W[, C]) in [low, high] as one uint8 picture with `gap` grey pixels between and around.

    `scale` enlarges each pixel to a square of that side; `across` is the number of images a line, by default about as
    many as there are lines.
    """
    pixels = to_bytes(images, low, high).repeat(scale, axis=1).repeat(scale, axis=2)
    n, height, width, *channels = pixels.shape
    across = across or max(1, int(np.ceil(np.sqrt(n))))
    down = -(-n // across)
    step_y, step_x = height + gap, width + gap
    canvas = np.full((down * step_y + gap, across * step_x + gap, *channels), 96, dtype=np.uint8)
    for i, picture in enumerate(pixels):
        top, left = gap + (i // across) * step_y, gap + (i % across) * step_x
        canvas[top : top + height, left : left + width] = picture
    return canvas


def encode_png(picture: np.ndarray) -> bytes:
    """A uint8 picture (H, W), (H, W, 3) or (H, W, 4) as PNG bytes."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()


def save_png(picture: np.ndarray, path: Path) -> None:
    path.write_bytes(encode_png(picture))
