"""A folder of PNG and JPEG files as arrays of pixel values 0 to 255."""

from __future__ import annotations

from pathlib import Path

from ebm.data.image_rows import FILE_OPTIONS, ImageFile, groups_of_paths, image_table
from ebm.data.options import ReadOptions
from ebm.data.table import Table
from ebm.errors import BadInput

SUFFIXES = {".png", ".jpg", ".jpeg"}


def read_image_folder(path: Path, options: ReadOptions) -> Table:
    """Every PNG and JPEG of a folder, in the order of their names; sub-folders are labels.

    Gives (N, H, W) if all images are gray, else (N, H, W, 3); values 0 to 255.

    Raises:
        BadInput: no images, an image that cannot be read, images of several sizes where no `size` is given, or images
            both beside and inside sub-folders.
    """
    options.only(path, FILE_OPTIONS)
    beside = _images_in(path)
    folders = sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))
    inside = [(f.name, image) for f in folders for image in _images_in(f)]
    if beside and inside:
        raise BadInput(
            f"{path.name}: images both beside and inside sub-folders, so {beside[0].name} has no label"
        )
    found = beside or [image for _, image in inside]
    if not found:
        raise BadInput(f"{path.name}: no PNG or JPEG files in this folder or its sub-folders")
    below = [file.relative_to(path).as_posix() for file in found]
    files = [
        ImageFile(f"{path.name}/{name}", name, file.read_bytes)
        for name, file in zip(below, found, strict=True)
    ]
    groups = groups_of_paths(files, options)
    labels = [label for label, _ in inside] if inside else None
    return image_table(files, path.name, options, labels=labels, groups=groups)


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        f
        for f in folder.iterdir()
        if f.is_file() and f.suffix.lower() in SUFFIXES and not f.name.startswith(".")
    )
