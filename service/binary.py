"""Reading npy and picture bodies from strangers: every claim is checked before memory is taken."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ebm.errors import BadInput
from ebm.pictures import encode_png, grid, to_bytes

HEADER_READERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(body: bytes) -> np.ndarray:
    """The array of an npy file, without pickle, and only if the header claims the bytes that are there.

    Raises:
        BadInput: not npy, not numbers, or a header that claims more or less than the body holds.
    """
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = HEADER_READERS[version](stream, max_header_size=10_000)
    except Exception as error:  # numpy lets SyntaxError, TypeError, KeyError and others through
        reason = " ".join(str(error).split())[:120]
        raise BadInput(f"the body is not an npy file: {reason or type(error).__name__}") from None
    if dtype.hasobject or dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise BadInput(f"npy: dtype {dtype.str!r} is not one of real numbers up to 64 bits")
    # Python integers, for a claimed shape may overflow every fixed width.
    if len(shape) > 8 or any(not isinstance(n, int) or n < 0 for n in shape):
        raise BadInput(f"npy: impossible shape {str(shape)[:80]}")
    claimed, there = math.prod(shape) * dtype.itemsize, len(body) - stream.tell()
    if claimed != there:
        raise BadInput(f"npy: the header claims {claimed} bytes of numbers, the body holds {there}")
    if 0 in shape:
        raise BadInput(f"npy: no rows, shape {shape}")
    array = np.frombuffer(body, dtype=dtype, offset=stream.tell())
    return array.reshape(shape, order="F" if fortran else "C")


def read_picture(body: bytes, schema: dict[str, Any], *, max_pixels: int, resize: bool = False) -> np.ndarray:
    """A PNG or JPEG as one row (1, H, W) or (1, H, W, C) in user units.

    Pixel values 0..255 (0..65535 for 16-bit grey) are mapped linearly to the model's [low, high]; colour
    is turned to grey, or grey to colour, as the model needs.

    Args:
        schema: the model's input: height, width, channels, low, high.
        resize: scale a picture of another size (area average); else it is refused.

    Raises:
        BadInput: no picture, truncated, too many pixels, or another size than the model's.
    """
    height, width, channels = schema["height"], schema["width"], schema["channels"]
    try:
        picture = Image.open(io.BytesIO(body), formats=["PNG", "JPEG"])  # reads the header only
        if picture.width * picture.height > max_pixels:
            raise BadInput(
                f"the picture has {picture.width} x {picture.height} pixels, over the limit of {max_pixels}"
            )
        picture.verify()  # a PNG's checksums and its end, which decoding alone does not ask for
        picture = Image.open(io.BytesIO(body), formats=["PNG", "JPEG"])
        picture.load()
    except BadInput:
        raise
    except UnidentifiedImageError:
        begun = body.startswith((b"\x89PNG", b"\xff\xd8"))
        raise BadInput(
            "the picture cannot be decoded: its header is truncated or damaged"
            if begun
            else "the body is not a PNG or JPEG picture"
        ) from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ValueError, ...
        reason = " ".join(str(error).split())[:120]
        raise BadInput(f"the picture cannot be decoded: {reason or type(error).__name__}") from None
    if channels not in (1, 3):
        raise BadInput(f"the model takes {channels} channels; pictures have 1 or 3")
    if picture.size != (width, height) and not resize:
        raise BadInput(
            f"the picture is {picture.width} x {picture.height}, the model takes {width} x {height} "
            "(add ?resize=true to scale it)"
        )
    pixels = _unit_range(picture, channels, (width, height))
    return (schema["low"] + pixels * (schema["high"] - schema["low"]))[None].astype(np.float32)


def _unit_range(picture: Image.Image, channels: int, size: tuple[int, int]) -> np.ndarray:
    """(H, W) or (H, W, 3) in [0, 1]."""
    top = 255.0
    if picture.mode.startswith("I"):  # 16-bit grey
        grey = Image.fromarray((np.asarray(picture, dtype=np.float32) / 65535.0).clip(0, 1))
        if channels == 3:
            stacked = np.asarray(_scaled(grey, size))
            return np.repeat(stacked[..., None], 3, axis=2)
        return np.asarray(_scaled(grey, size), dtype=np.float64)
    if picture.mode in ("P", "PA", "LA", "RGBA", "La", "RGBa"):
        # What is transparent shows black, as it would on the dark ground of most grey data.
        rgba = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    picture = picture.convert("L" if channels == 1 else "RGB")
    return np.asarray(_scaled(picture, size), dtype=np.float64) / top


def _scaled(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, Image.Resampling.BOX)


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
