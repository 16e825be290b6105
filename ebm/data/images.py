"""PNG and JPEG files as arrays of pixel values 0 to 255."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ebm.data.options import ReadOptions
from ebm.data.picture import FORMATS, MAX_PIXELS, Mode, decode_picture, is_deep, is_gray, open_picture
from ebm.data.table import Table, make_table
from ebm.errors import BadInput

SUFFIXES = {".png", ".jpg", ".jpeg"}


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
    """One PNG or JPEG: (H, W) for gray, (H, W, 3) for RGB, uint8; see `decode_picture`.

    Raises:
        BadInput: neither PNG nor JPEG, truncated, more than `max_pixels`, or 16 bits a channel.
    """
    image = open_picture(data, source, max_pixels=max_pixels)
    if is_deep(image):
        raise BadInput(f"{source}: {image.mode} images (over 8 bits a channel) are not supported")
    return np.asarray(decode_picture(data, source, mode, max_pixels=max_pixels))


def _common_mode(files: list[Path]) -> Mode:
    """Gray if every image is; otherwise all become RGB. Reads headers only."""
    for file in files:
        try:
            with Image.open(file, formats=FORMATS) as image:
                if not is_gray(image):
                    return "RGB"
        except Exception:  # whatever Pillow's decoders raise
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
