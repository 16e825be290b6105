"""The bytes of a body to rows as they came, by media type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from ebm.data import parse_npy
from ebm.detector import Detector
from ebm.errors import BadInput
from ebm.sieve import RowError, Values
from service.bodies import csv, media
from service.bodies.arrow import read_arrow
from service.bodies.json_rows import check_records, read_document, require_flat, take_rows
from service.bodies.limits import Limits
from service.bodies.media import ARROW_FILE, ARROW_STREAM, CSV, JPEG, JSON, MULTIPART, NPY, PARQUET, PNG, ROWS
from service.bodies.multipart import File, read_form
from service.bodies.options import read_options, take_flag
from service.bodies.parquet import read_parquet
from service.bodies.pictures import measure, read_picture, require_pictures
from service.bodies.tables import check_table
from service.bodies.takes import as_input, takes
from service.errors import Problem, limit_exceeded

SUFFIXES = {
    "png": PNG, "jpg": JPEG, "jpeg": JPEG, "csv": CSV, "parquet": PARQUET, "pq": PARQUET, "npy": NPY, "json": JSON,
    "arrow": ARROW_FILE, "feather": ARROW_FILE, "arrows": ARROW_STREAM,
}  # fmt: skip

O = TypeVar("O", bound=BaseModel)  # noqa: E741


def is_tolerant(asked: BaseModel) -> bool:
    """Whether bad rows are to be named rather than to fail the request."""
    return getattr(asked, "on_error", None) == "null"


@dataclass(frozen=True)
class Read:
    """Rows as they came, what turns them into rows of the model, and positions already known to be bad."""

    rows: Any
    check: Callable[[Any], Values]
    media_type: str
    bad: tuple[RowError, ...] = ()


def read(
    body: bytes,
    media_type: str,
    parameters: dict[str, str],
    query: dict[str, str],
    detector: Detector,
    options: type[O],
    limits: Limits,
) -> tuple[Read, O]:
    """The rows of a body of this media type, and the options beside them, in the body or in `query`.

    Raises:
        BadInput, Problem: as `read_rows`, but for cells that do not fit the model, which `Read.check` finds.
    """
    if media_type == JSON:
        require_flat(body, takes(detector), limits.rows)
        document = read_document(body)
        rows, named = take_rows(document, takes(detector), query)
        asked = read_options(document, query, options)
        limits.check_rows(len(rows))
        check = partial(check_records if named else as_input, detector=detector, nulls=limits.nulls)
        return Read(rows, check, JSON), asked
    if media_type == MULTIPART:
        return _read_form(body, parameters, query, detector, options, limits)
    if media_type == NPY:
        asked = read_options({}, query, options)
        array = parse_npy(body, "npy", numbers_only=True)
        limits.check_rows(len(array) if array.ndim else 0)
        return Read(array, partial(as_input, detector=detector, nulls=limits.nulls), NPY), asked
    if media_type in media.PICTURES:
        resize = take_flag("resize", query)
        asked = read_options({}, query, options)
        return _pictures(
            [File("the picture", media_type, body)], detector, limits, resize, is_tolerant(asked)
        ), asked
    ignore = take_flag("ignore_unknown", query)
    asked = read_options({}, query, options)
    return _table(body, media_type, parameters, detector, limits, ignore, is_tolerant(asked)), asked


def _table(
    body: bytes,
    media_type: str,
    parameters: dict[str, str],
    detector: Detector,
    limits: Limits,
    ignore_unknown: bool,
    tolerant: bool,
) -> Read:
    wanted = takes(detector)
    if media_type == CSV:
        lines = csv.read_csv(
            body,
            wanted,
            limits,
            header=parameters.get("header"),
            ignore_unknown=ignore_unknown,
            skip_ragged=tolerant,
        )
        bad = tuple(RowError(row, detail) for row, detail in lines.ragged.items())
        return Read(lines.table, csv.checker(detector, nulls=limits.nulls), CSV, bad)
    reader = read_parquet if media_type == PARQUET else read_arrow
    table = reader(body, wanted, limits, ignore_unknown=ignore_unknown)
    if not table.num_rows:
        raise BadInput("the table has no rows")
    return Read(table, partial(check_table, detector=detector, nulls=limits.nulls), media_type)


def _pictures(files: list[File], detector: Detector, limits: Limits, resize: bool, tolerant: bool) -> Read:
    """All pictures together may have `limits.pixels`."""
    wanted = takes(detector)
    require_pictures(wanted)
    limits.check_rows(len(files))
    rows: list[np.ndarray] = []
    bad: list[RowError] = []
    pixels = 0
    for row, file in enumerate(files):
        source = file.name if len(files) == 1 else f"row {row}, {file.name}"
        try:
            pixels += measure(file.content, source, limits.pixels)
            if pixels > limits.pixels:
                raise limit_exceeded("pixels of all pictures", pixels, limits.pixels, "max_pixels")
            left = limits.pixels
            rows.append(read_picture(file.content, wanted, max_pixels=left, resize=resize, source=source))
        except BadInput as error:
            if not tolerant:
                raise BadInput(str(error), row=row) from None
            bad.append(RowError(row, str(error)))
    stacked = np.stack(rows) if rows else np.empty((0, *wanted.shape))
    return Read(stacked, partial(as_input, detector=detector), PNG, tuple(bad))


def _read_form(
    body: bytes,
    parameters: dict[str, str],
    query: dict[str, str],
    detector: Detector,
    options: type[O],
    limits: Limits,
) -> tuple[Read, O]:
    """Several pictures, or one file of any other kind. Text fields are options, as in the query."""
    form = read_form(body, parameters.get("boundary", ""), limits.rows)
    query = query | form.fields
    kinds = [_kind(file) for file in form.files]
    if all(kind in media.PICTURES for kind, _ in kinds):
        resize = take_flag("resize", query)
        asked = read_options({}, query, options)
        return _pictures(form.files, detector, limits, resize, is_tolerant(asked)), asked
    if len(form.files) > 1:
        raise BadInput("a form holds several pictures, or one file of another kind")
    kind, given = kinds[0]
    found, asked = read(form.files[0].content, kind, given, query, detector, options, limits)
    return replace(found, media_type=kind), asked


def _kind(file: File) -> tuple[str, dict[str, str]]:
    """By Content-Type; by the end of the file's name where the type says nothing."""
    name, parameters = media.split(file.type)
    if name in ROWS and name != MULTIPART:
        return name, parameters
    suffix = file.name.rsplit(".", 1)[-1].lower()
    if (
        name in ("", "application/octet-stream", "text/plain", "application/vnd.ms-excel")
        and suffix in SUFFIXES
    ):
        return SUFFIXES[suffix], parameters
    shown = f"{file.name}: {name[:80] or 'no media type'}"
    raise Problem(415, "unsupported-media-type", f"{shown}: send {', '.join(ROWS[:-1])}")
