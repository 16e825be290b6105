"""Rows with gaps: nulls and NaN, or pictures with a mask."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ebm.data.picture import decode_unit, upright_size
from ebm.data.picture_size import fit_mask
from ebm.detector import Detector
from ebm.errors import BadInput
from service.bodies import media
from service.bodies.body import read_body
from service.bodies.limits import Limits
from service.bodies.media import MULTIPART, PNG, ROWS
from service.bodies.multipart import File, read_form
from service.bodies.options import query_of, read_options, take_flag
from service.bodies.pictures import measure, read_picture, require_pictures
from service.bodies.rows import Rows, read_rows
from service.bodies.takes import Takes, as_input, takes
from service.errors import limit_exceeded
from service.settings import Settings

O = TypeVar("O", bound=BaseModel)  # noqa: E741
BYTES = {"type": "string", "format": "binary"}
# For OpenAPI.
MASKED_FORM: dict[str, Any] = {
    MULTIPART: {
        "schema": {
            "type": "object",
            "properties": {
                "image": {**BYTES, "description": "PNG or JPEG; or several, of one name"},
                "mask": {
                    **BYTES,
                    "description": "PNG, missing where not black: one for all, or one for each image",
                },
            },
            "required": ["image", "mask"],
        }
    }
}


async def read_gappy_rows(
    request: Request, detector: Detector, options: type[O], settings: Settings, max_rows: int, setting: str
) -> tuple[Rows, O]:
    """`read_rows` where cells may be missing. To image models, a form brings pictures `image` and what is missing of
    them, `mask`.

    Raises:
        BadInput, Problem: as `read_rows`; a form without a mask, or with another number of them.
    """
    media_type, parameters = media.media_type(request, ROWS)
    if media_type != MULTIPART or detector.kind != "image":
        return await read_rows(request, detector, options, settings, max_rows, setting, nulls=True)
    body = await read_body(request, settings.max_body_bytes, settings.max_decompressed_bytes)
    limits = Limits.of(settings, max_rows, setting, nulls=True)
    query = query_of(request)

    def read() -> tuple[Rows, O]:
        form = read_form(body, parameters.get("boundary", ""), 2 * max_rows)
        merged = query | form.fields
        resize = take_flag("resize", merged)
        asked = read_options({}, merged, options)
        return _masked(form.files, detector, limits, resize), asked

    return await run_in_threadpool(read)


def _masked(files: list[File], detector: Detector, limits: Limits, resize: bool) -> Rows:
    wanted = takes(detector)
    require_pictures(wanted)
    other = next((file.part for file in files if file.part not in ("image", "mask")), None)
    if other is not None:
        raise BadInput(f"the form has a file {other[:80]!r}: send the parts 'image' and 'mask'")
    images = [file for file in files if file.part == "image"]
    masks = [file for file in files if file.part == "mask"]
    if not images or len(masks) not in (1, len(images)):
        raise BadInput(
            f"the form has {len(images)} 'image' and {len(masks)} 'mask' parts: send one mask, or one for each image"
        )
    limits.check_rows(len(images))
    pixels = 0
    for file in files:
        pixels += measure(file.content, file.name, limits.pixels)
        if pixels > limits.pixels:
            raise limit_exceeded("pixels of all pictures", pixels, limits.pixels, "max_pixels")
    gaps = [_mask(file, wanted, limits, resize) for file in masks]
    rows = []
    for i, file in enumerate(images):
        picture = read_picture(
            file.content, wanted, max_pixels=limits.pixels, resize=resize, source=f"row {i}, {file.name}"
        )
        hidden = gaps[i % len(gaps)]
        if resize:
            hidden = fit_mask(hidden, upright_size(file.content, file.name), picture.shape[:2])
        hidden = hidden.reshape(*picture.shape[:2], *([1] * (picture.ndim - 2)))
        rows.append(np.where(hidden, np.nan, picture))
    values = as_input(np.stack(rows), detector, nulls=True)
    return Rows(values, PNG, [], None, len(rows))


def _mask(file: File, wanted: Takes, limits: Limits, resize: bool) -> np.ndarray:
    """(H, W) bool: what is not black; of any size where it is to be fitted, as its picture is."""
    size = (wanted.schema["width"], wanted.schema["height"])
    unit = decode_unit(file.content, file.name, "L", max_pixels=limits.pixels)
    if not resize and unit.shape != size[::-1]:
        raise BadInput(
            f"{file.name} is {unit.shape[1]} x {unit.shape[0]}, the model takes {size[0]} x {size[1]} "
            "(add ?resize=true to fit it)"
        )
    return unit > 0
