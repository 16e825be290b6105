"""Arrays as npy and as pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ebm.pictures import encode_png, grid, to_bytes


def write_npy(array: np.ndarray) -> bytes:
    """`array` as an npy file, C order."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def write_png(images: np.ndarray, schema: dict[str, Any], *, per_line: int | None = None) -> bytes:
    """One picture as it is, or a grid, from (n, H, W) or (n, H, W, C) in user units.

    Small images are enlarged in a grid, pixel by pixel, so that it can be looked at; npy has the pixels themselves.
    """
    low, high = schema["low"], schema["high"]
    images = np.nan_to_num(images)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if len(images) == 1:
        return encode_png(to_bytes(images[0], low, high))
    scale = max(1, 32 // max(images.shape[1:3]))
    return encode_png(grid(images, low, high, scale=scale, across=per_line))
