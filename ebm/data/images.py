"""PNG and JPEG files as arrays of pixel values 0 to 255."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from ebm.data.options import ReadOptions
from ebm.data.table import Table, make_table
from ebm.errors import BadInput

FORMATS = ["PNG", "JPEG"]
SUFFIXES = {".png", ".jpg", ".jpeg"}
MAX_PIXELS = 16_000_000
Mode = Literal["L", "RGB"]


def read_image_folder(path: Path, options: ReadOptions) -> Table:
    """Every PNG and JPEG of a folder, in the order of their names; sub-folders are labels.

    Gives (N, H, W) if all images are gray, else (N, H, W, 3); values 0 to 255.

    Raises:
        BadInput: no images, an image that cannot be read, images of several sizes, or images both beside
            and inside sub-folders.
    """
    options.only(path, {"image_mode"})
    beside = _images_in(path)
    folders = sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))
    inside = [(f.name, image) for f in folders for image in _images_in(f)]
    if beside and inside:
        raise BadInput(
            f"{path.name}: images both beside and inside sub-folders, so {beside[0].name} has no label"
        )
    files = beside or [image for _, image in inside]
    if not files:
        raise BadInput(f"{path.name}: no PNG or JPEG files in this folder or its sub-folders")
    mode = options.image_mode or _common_mode(files)
    arrays: list[np.ndarray] = []
    for file in files:
        name = f"{path.name}/{file.relative_to(path)}"
        image = parse_image(file.read_bytes(), name, mode)
        if arrays and image.shape != arrays[0].shape:
            sizes = f"{_size(image)} pixels, the images before it {_size(arrays[0])}"
            raise BadInput(f"{name}: {sizes}", row=len(arrays))
        arrays.append(image)
    labels = [label for label, _ in inside] if inside else None
    return make_table(np.stack(arrays), path.name, labels=labels)


def parse_image(
    data: bytes, source: str, mode: Mode | None = None, *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """One PNG or JPEG, e.g. a request body: (H, W) for gray, (H, W, 3) for RGB, uint8.

    Args:
        mode: "L" or "RGB" to convert to; default: gray stays gray, all else becomes RGB. Transparency is
            laid on black.

    Raises:
        BadInput: neither PNG nor JPEG, truncated, more than `max_pixels`, or 16 bits a channel.
    """
    image = _open(data, source, max_pixels)
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
            image = image.convert("RGBA")
            gray = mode == "L" or (mode is None and _is_gray(_open(data, source, max_pixels)))
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
            return np.asarray(image.convert("L" if gray else "RGB"))
        return np.asarray(image.convert(mode or ("L" if _is_gray(image) else "RGB")))
    except _BROKEN as error:
        raise BadInput(f"{source}: the image is damaged: {_line(error)}") from None


# What Pillow's decoders are known to raise on bytes that are not what they claim to be.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def _open(data: bytes, source: str, max_pixels: int) -> Image.Image:
    """The opened, not yet decoded image: its size is known before its pixels cost anything."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except _BROKEN as error:
        reason = "neither PNG nor JPEG" if "cannot identify" in str(error) else _line(error)
        raise BadInput(f"{source}: not a readable image: {reason}") from None
    width, height = image.size
    if width * height > max_pixels:
        raise BadInput(f"{source}: {height} x {width} pixels, more than the limit of {max_pixels}")
    if image.mode.startswith(("I", "F")):
        raise BadInput(f"{source}: {image.mode} images (over 8 bits a channel) are not supported")
    return image


def _is_gray(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA")


def _common_mode(files: list[Path]) -> Mode:
    """Gray if every image is; otherwise all become RGB. Reads headers only."""
    for file in files:
        try:
            with Image.open(file, formats=FORMATS) as image:
                if not _is_gray(image):
                    return "RGB"
        except _BROKEN:
            continue  # parse_image will say what is wrong with it
    return "L"


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        f
        for f in folder.iterdir()
        if f.is_file() and f.suffix.lower() in SUFFIXES and not f.name.startswith(".")
    )


def _size(image: np.ndarray) -> str:
    return " x ".join(str(n) for n in image.shape[:2])


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
