"""One PNG or JPEG, from whoever sent it, as an image: its size is known before its pixels cost anything."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from ebm.data.picture_size import fit_to
from ebm.errors import BadInput

FORMATS = ["PNG", "JPEG"]
MAX_PIXELS = 16_000_000
# A progressive JPEG has about ten scans, each of which visits every pixel: a few bytes more, a second more.
MAX_SCANS = 100
ORIENTATION = 0x0112  # EXIF; 5 to 8 swap the sides
TRANSPARENT = ("LA", "PA", "La", "RGBA", "RGBa")
Mode = Literal["L", "RGB"]


def open_picture(data: bytes, source: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The opened image, of which only the header was read.

    Raises:
        BadInput: neither PNG nor JPEG, a damaged header, or more than `max_pixels`.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ValueError, ...
        begun = data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))
        unknown = "the header is cut off or damaged" if begun else "neither PNG nor JPEG"
        reason = unknown if "cannot identify" in str(error) else _line(error)
        raise BadInput(f"{source}: not a readable image: {reason}") from None
    width, height = image.size
    if width * height > max_pixels:
        raise BadInput(f"{source}: {height} x {width} pixels, more than the limit of {max_pixels}")
    if image.format != "PNG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise BadInput(f"{source}: a JPEG of more than {MAX_SCANS} scans")
    return image


def decode_picture(
    data: bytes, source: str, mode: Mode | None = None, *, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """The image, upright, what is transparent laid on black.

    Args:
        mode: "L" or "RGB" to convert to; default: gray stays gray, all else becomes RGB. Gray of 16 bits stays what it
            is, whatever the mode.

    Raises:
        BadInput: as `open_picture`; damaged or cut off.
    """
    image = open_picture(data, source, max_pixels=max_pixels)
    gray = is_gray(image)
    try:
        image.verify()  # a PNG's checksums and its end, which decoding alone does not ask for
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data), formats=FORMATS))
        if is_deep(image):
            return image
        if image.mode in TRANSPARENT or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
        return image.convert(mode or ("L" if gray else "RGB"))
    except Exception as error:
        raise BadInput(f"{source}: the image is damaged: {_line(error)}") from None


def parse_image(
    data: bytes, source: str, mode: Mode | None = None, *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """One PNG or JPEG: (H, W) for gray, (H, W, 3) for RGB, uint8; see `decode_picture`.

    Raises:
        BadInput: neither PNG nor JPEG, truncated, more than `max_pixels`, or 16 bits a channel.
    """
    image = open_picture(data, source, max_pixels=max_pixels)
    if is_deep(image):
        raise BadInput(f"{source}: {image.mode} images (over 8 bits a channel) are not supported")
    return np.asarray(decode_picture(data, source, mode, max_pixels=max_pixels))


def decode_unit(
    data: bytes, source: str, mode: Mode, *, size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """The image in [0, 1], of 8 bits (0..255) or, where gray, 16 (0..65535): (H, W) or (H, W, 3), float32.

    Args:
        size: (width, height) to fit it to, as `ebm.data.picture_size` says: reduced by one factor, never enlarged,
            centred.

    Raises:
        BadInput: as `decode_picture`.
    """
    image = decode_picture(data, source, mode, max_pixels=max_pixels)
    pixels, top = np.asarray(image), 255.0
    if is_deep(image):
        top = 65535.0
        pixels = pixels.clip(0, top)
    if size is not None:
        pixels = fit_to(pixels, (size[1], size[0]))
    pixels = pixels.astype(np.float32, copy=False) / np.float32(top)
    return np.repeat(pixels[..., None], 3, axis=2) if mode == "RGB" and pixels.ndim == 2 else pixels


def upright_size(data: bytes, source: str, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(height, width) of the picture as it stands once its EXIF tag has turned it.

    Raises:
        BadInput: as `open_picture`.
    """
    image = open_picture(data, source, max_pixels=max_pixels)
    width, height = image.size
    return (width, height) if image.getexif().get(ORIENTATION) in (5, 6, 7, 8) else (height, width)


def is_gray(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La")


def is_deep(image: Image.Image) -> bool:
    """Whether it has more than 8 bits a channel."""
    return image.mode.startswith(("I", "F"))


def _line(error: Any) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
