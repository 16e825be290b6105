"""From many PNG and JPEG files, wherever they lie, to one table of images."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ebm.data.options import ReadOptions
from ebm.data.picture import parse_image
from ebm.data.picture_size import fit_to
from ebm.data.table import Table, make_table
from ebm.errors import BadConfig, BadInput

# Of folders and zips.
FILE_OPTIONS = {"image_mode", "size", "group"}


@dataclass(frozen=True)
class ImageFile:
    """One image that is still to be read.

    name: what to call it in messages.
    path: where it lies below the folder or in the zip, with "/".
    read: gives its bytes.
    """

    name: str
    path: str
    read: Callable[[], bytes]


def image_table(
    files: Iterable[ImageFile],
    source: str,
    options: ReadOptions,
    *,
    labels: object = None,
    groups: object = None,
) -> Table:
    """(N, H, W) if all images are gray, else (N, H, W, 3), values 0 to 255; at `options.size`, where it is given.

    Raises:
        BadInput: an image that cannot be read, or images of several sizes where no `size` is given; names file and row.
    """
    images: list[np.ndarray] = []
    for row, file in enumerate(files):
        try:
            image = parse_image(file.read(), file.name, options.image_mode)
        except BadInput as error:
            raise BadInput(str(error), row=row) from None
        if options.size is not None:
            image = fit_to(image, options.size)
        if images and image.shape[:2] != images[0].shape[:2]:
            sizes = f"{_size(image)} pixels, the images before it {_size(images[0])}"
            raise BadInput(f"{file.name}: {sizes}; option 'size': [height, width] fits all to one", row=row)
        images.append(image)
    if any(image.ndim == 3 for image in images):
        images = [image if image.ndim == 3 else np.repeat(image[..., None], 3, 2) for image in images]
    return make_table(np.stack(images), source, labels=labels, groups=groups)


def groups_of_paths(files: Iterable[ImageFile], options: ReadOptions) -> list[str] | None:
    """What `options.group`, a regular expression with one group, finds in each path.

    Raises:
        BadConfig: it is none. BadInput: it matches nothing in the path of a file; names the file.
    """
    if options.group is None:
        return None
    try:
        pattern = re.compile(options.group)
    except re.error as error:
        raise BadConfig(f"option 'group': {options.group!r} is not a regular expression: {error}") from None
    if pattern.groups != 1:
        raise BadConfig(f"option 'group': {options.group!r} has {pattern.groups} groups in brackets, not one")
    found: list[str] = []
    for row, file in enumerate(files):
        match = pattern.search(file.path)
        if match is None or not match[1]:
            raise BadInput(
                f"{file.name}: option 'group': {options.group!r} finds nothing in its path", row=row
            )
        found.append(match[1])
    return found


def _size(image: np.ndarray) -> str:
    return " x ".join(str(n) for n in image.shape[:2])
