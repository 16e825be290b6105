"""PNG and JPEG bodies as rows of an image model."""

from __future__ import annotations

import numpy as np

from ebm.data.picture import decode_unit, open_picture
from ebm.errors import BadInput
from service.bodies.takes import Takes
from service.errors import Problem


def require_pictures(wanted: Takes) -> None:
    """Raises a Problem, 415, or BadInput, for a model that takes none."""
    if wanted.kind != "image":
        raise Problem(415, "unsupported-media-type", f"{wanted.name} takes rows, not pictures")
    if wanted.schema["channels"] not in (1, 3):
        raise BadInput(f"the model takes {wanted.schema['channels']} channels; pictures have 1 or 3")


def measure(body: bytes, source: str, max_pixels: int) -> int:
    """Pixels of a picture, of which only the header is read.

    Raises:
        BadInput: no picture, or more than `max_pixels`.
    """
    width, height = open_picture(body, source, max_pixels=max_pixels).size
    return width * height


def read_picture(
    body: bytes, wanted: Takes, *, max_pixels: int, resize: bool = False, source: str = "the picture"
) -> np.ndarray:
    """A PNG or JPEG as one row (H, W) or (H, W, C) in user units.

    Pixel values 0..255 (0..65535 for 16-bit gray) are mapped linearly to the model's [low, high]; colour is turned to
    gray, or gray to colour, as the model needs; a picture turned by its EXIF tag stands upright.

    Args:
        resize: fit a picture of another size (`ebm.data.picture_size`: reduced by one factor, never enlarged or
            stretched, centred on the median of its border); else it is refused.

    Raises:
        BadInput: no picture, truncated, too many pixels, or another size than the model's.
    """
    schema = wanted.schema
    size = (schema["width"], schema["height"])
    header = open_picture(body, source, max_pixels=max_pixels).size
    if not resize and header not in (size, size[::-1]):  # before its pixels cost anything
        raise _other_size(source, header, size)
    mode = "L" if schema["channels"] == 1 else "RGB"
    unit = decode_unit(body, source, mode, size=size if resize else None, max_pixels=max_pixels)
    if unit.shape[:2] != size[::-1]:
        raise _other_size(source, unit.shape[1::-1], size)
    low, high = schema["low"], schema["high"]
    return (low + unit.astype(np.float64) * (high - low)).astype(np.float32)


def _other_size(source: str, got: tuple[int, ...], size: tuple[int, int]) -> BadInput:
    return BadInput(
        f"{source} is {got[0]} x {got[1]}, the model takes {size[0]} x {size[1]} (add ?resize=true to fit it)"
    )
