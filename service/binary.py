"""Arrays as npy and as pictures."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np

from ebm.pictures import encode_png, grid, to_bytes


def write_npy(array: np.ndarray) -> bytes:
    """`array` as an npy file, C order."""
    return _npy_header(array.dtype, array.shape) + array.tobytes()


@lru_cache(maxsize=256)
def _npy_header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """Most answers have one of a few shapes, and numpy takes longer for a header than for the numbers."""
    if dtype.hasobject:
        raise ValueError("objects have no place in an npy file")
    stream = io.BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
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
