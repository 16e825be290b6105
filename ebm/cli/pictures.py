"""PNG and JPEG to a model's pixels and back, by the model's own rule: 0..255 <-> low..high."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ebm.cli.common import say
from ebm.cli.output import beside
from ebm.data import parse_image
from ebm.data.picture_size import fit_to
from ebm.errors import BadInput, Unsupported
from ebm.pictures import encode_png, grid, to_bytes

SUFFIXES = (".png", ".jpg", ".jpeg")


def is_pictures(path: Path) -> bool:
    """Whether `path` is a PNG, a JPEG, or a folder."""
    return path.is_dir() or path.suffix.lower() in SUFFIXES


def read_pictures(path: Path, schema: dict[str, Any], *, fit: bool = True) -> tuple[list[str], np.ndarray]:
    """One picture, or every PNG and JPEG below a folder in the order of their names.

    Args:
        schema: of an image model's input: kind, height, width, channels, low, high.
        fit: bring pictures of another size to the model's (`ebm.data.picture_size`), and say so; else refuse them.

    Returns:
        File names, relative to the folder, and (N, H, W) or (N, H, W, 3) float32 in user units.

    Raises:
        BadInput: no picture, damaged, or, unless fitted, not of the model's size; names the file.
        Unsupported: the model takes no pictures.
    """
    height, width, channels = _size(schema)
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        names = [str(f.relative_to(path)) for f in files]
    else:
        files, names = [path], [path.name]
    if not files:
        raise BadInput(f"{path}: no PNG or JPEG files in this folder")
    pictures: list[np.ndarray] = []
    fitted = 0
    for file, name in zip(files, names, strict=True):
        if not file.is_file():
            raise BadInput(f"{file}: no such file")
        pixels = parse_image(file.read_bytes(), name, "L" if channels == 1 else "RGB")
        if pixels.shape[:2] != (height, width) and fit:
            pixels, fitted = fit_to(pixels, (height, width)), fitted + 1
        if pixels.shape[:2] != (height, width):
            raise BadInput(
                f"{name}: is {pixels.shape[1]} wide and {pixels.shape[0]} high, "
                f"the model takes {width} x {height}"
            )
        pictures.append(pixels)
    if fitted:
        pictured = "picture was" if fitted == 1 else "pictures were"
        say(
            f"{path}: {fitted} {pictured} fitted to {width} x {height} pixels: reduced by one factor, centred"
        )
    low, high = schema["low"], schema["high"]
    scaled = low + np.stack(pictures).astype(np.float64) * ((high - low) / 255.0)
    return names, scaled.astype(np.float32)


def write_picture(path: Path, values: np.ndarray, schema: dict[str, Any]) -> None:
    """Images in user units as one PNG: one as itself, several as a grid, as square as can be.

    Args:
        values: (N, H, W), (N, H, W, C) or flat rows (N, H*W*C).

    Raises:
        Unsupported: the model has no pictures.
    """
    height, width, channels = _size(schema)
    images = np.asarray(values).reshape(-1, height, width, *([channels] if channels > 1 else []))
    low, high = float(schema["low"]), float(schema["high"])
    picture = to_bytes(images[0], low, high) if len(images) == 1 else grid(images, low, high)
    with beside(path) as file:
        file.write(encode_png(picture))


def _size(schema: dict[str, Any]) -> tuple[int, int, int]:
    if schema.get("kind") != "image":
        raise Unsupported("this model takes rows of a table, not pictures")
    if schema["channels"] not in (1, 3):
        raise Unsupported(f"pictures have 1 or 3 channels, the model takes {schema['channels']}")
    return schema["height"], schema["width"], schema["channels"]
