"""From a request to rows that the model accepts, whatever they came in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ebm.data import parse_npy
from ebm.detector import Detector
from ebm.errors import BadInput
from service.bodies import csv, media
from service.bodies.arrow import read_arrow
from service.bodies.body import read_body
from service.bodies.json_rows import check_records, read_document, take_rows
from service.bodies.limits import Limits
from service.bodies.media import ARROW_FILE, ARROW_STREAM, CSV, JPEG, JSON, MULTIPART, NPY, PARQUET, PNG, ROWS
from service.bodies.multipart import File, read_form
from service.bodies.options import query_of, read_options, take_flag
from service.bodies.parquet import read_parquet
from service.bodies.pictures import measure, read_picture, require_pictures
from service.bodies.sieve import RowError, Values, sieve
from service.bodies.tables import check_table
from service.bodies.takes import as_input, takes
from service.errors import Problem, limit_exceeded
from service.settings import Settings

INLINE_BYTES = 2**16  # larger bodies are parsed in a worker thread, so that the event loop stays free
INLINE_CELLS_BYTES = 2**13  # the same where every cell is a Python object
SUFFIXES = {
    "png": PNG, "jpg": JPEG, "jpeg": JPEG, "csv": CSV, "parquet": PARQUET, "pq": PARQUET, "npy": NPY, "json": JSON,
    "arrow": ARROW_FILE, "feather": ARROW_FILE, "arrows": ARROW_STREAM,
}  # fmt: skip

O = TypeVar("O", bound=BaseModel)  # noqa: E741


@dataclass(frozen=True)
class Rows:
    """What a body held.

    values: rows (n, *input_shape) that the model accepts, as a table where the model has columns that are not numbers.
    media_type: in which they came.
    errors: of the rows that were left out, which only `"on_error": "null"` does.
    positions: of the rows of `values` among all rows that were sent; None where none was left out.
    total: rows that were sent.
    """

    values: Values
    media_type: str
    errors: list[RowError]
    positions: np.ndarray | None
    total: int


@dataclass(frozen=True)
class _Read:
    """Rows as they came, what turns them into rows of the model, and positions already known to be bad."""

    rows: Any
    check: Callable[[Any], Values]
    media_type: str
    bad: tuple[RowError, ...] = ()


async def read_rows(
    request: Request,
    detector: Detector,
    options: type[O],
    settings: Settings,
    max_rows: int,
    setting: str,
    *,
    nulls: bool = False,
) -> tuple[Rows, O]:
    """The rows and options of a request, whatever its media type. Options may also be query parameters.

    Where `options` has a field `on_error` and a request sets it to "null", rows that cannot be scored are left out and
    named in `Rows.errors`. Two parameters say how to read rows and are no options: `ignore_unknown` (tables and
    records: columns that the model does not know are left out, not refused) and `resize` (pictures).

    Args:
        nulls: let cells be missing, as NaN of numbers, whether or not the model knows of such.

    Raises:
        BadInput: with row and column where a cell is at fault.
        Problem: 413, 415, or 422 for more rows than `max_rows`.
    """
    media_type, parameters = media.media_type(request, ROWS)
    body = await read_body(request, settings.max_body_bytes, settings.max_decompressed_bytes)
    limits = Limits.of(settings, max_rows, setting, nulls=nulls)
    work = partial(_read, body, media_type, parameters, query_of(request), detector, options, limits)
    few = INLINE_BYTES if takes(detector).numbers else INLINE_CELLS_BYTES
    if media_type in (JSON, NPY) and len(body) <= few:
        read, asked = work()
        if not _tolerant(asked):
            return _strict(read), asked
        # Looking for bad rows may take long.
        return await run_in_threadpool(_sieved, read), asked
    return await run_in_threadpool(lambda: _finish(*work()))


def _finish(read: _Read, asked: O) -> tuple[Rows, O]:
    return (_sieved(read) if _tolerant(asked) else _strict(read)), asked


def _tolerant(asked: BaseModel) -> bool:
    return getattr(asked, "on_error", None) == "null"


def _strict(read: _Read) -> Rows:
    values = read.check(read.rows)
    return Rows(values, read.media_type, [], None, len(values))


def _sieved(read: _Read) -> Rows:
    values, kept, errors = sieve(read.rows, read.check) if len(read.rows) else (None, [], [])
    total = len(read.rows) + len(read.bad)
    if not errors and not read.bad and values is not None:
        return Rows(values, read.media_type, [], None, total)
    # Rows that were bad already while reading are not among those counted here.
    places = np.setdiff1d(np.arange(total), [one.row for one in read.bad])
    moved = [
        RowError(int(places[e.row]), e.detail.replace(f"row {e.row}", f"row {places[e.row]}", 1), e.column)
        for e in errors
    ]
    found = sorted([*moved, *read.bad], key=lambda one: one.row)
    empty = read.rows[:0] if isinstance(read.rows, np.ndarray) else np.empty((0, 0))
    return Rows(empty if values is None else values, read.media_type, found, places[kept], total)


def _read(
    body: bytes,
    media_type: str,
    parameters: dict[str, str],
    query: dict[str, str],
    detector: Detector,
    options: type[O],
    limits: Limits,
) -> tuple[_Read, O]:
    if media_type == JSON:
        document = read_document(body)
        rows, named = take_rows(document, takes(detector), query)
        asked = read_options(document, query, options)
        limits.check_rows(len(rows))
        check = partial(check_records if named else as_input, detector=detector, nulls=limits.nulls)
        return _Read(rows, check, JSON), asked
    if media_type == MULTIPART:
        return _read_form(body, parameters, query, detector, options, limits)
    if media_type == NPY:
        asked = read_options({}, query, options)
        array = parse_npy(body, "npy", numbers_only=True)
        limits.check_rows(len(array) if array.ndim else 0)
        return _Read(array, partial(as_input, detector=detector, nulls=limits.nulls), NPY), asked
    if media_type in media.PICTURES:
        resize = take_flag("resize", query)
        asked = read_options({}, query, options)
        return _pictures(
            [File("the picture", media_type, body)], detector, limits, resize, _tolerant(asked)
        ), asked
    ignore = take_flag("ignore_unknown", query)
    asked = read_options({}, query, options)
    return _table(body, media_type, parameters, detector, limits, ignore, _tolerant(asked)), asked


def _table(
    body: bytes,
    media_type: str,
    parameters: dict[str, str],
    detector: Detector,
    limits: Limits,
    ignore_unknown: bool,
    tolerant: bool,
) -> _Read:
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
        return _Read(lines.table, csv.checker(detector, nulls=limits.nulls), CSV, bad)
    reader = read_parquet if media_type == PARQUET else read_arrow
    table = reader(body, wanted, limits, ignore_unknown=ignore_unknown)
    if not table.num_rows:
        raise BadInput("the table has no rows")
    return _Read(table, partial(check_table, detector=detector, nulls=limits.nulls), media_type)


def _pictures(files: list[File], detector: Detector, limits: Limits, resize: bool, tolerant: bool) -> _Read:
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
    return _Read(stacked, partial(as_input, detector=detector), PNG, tuple(bad))


def _read_form(
    body: bytes,
    parameters: dict[str, str],
    query: dict[str, str],
    detector: Detector,
    options: type[O],
    limits: Limits,
) -> tuple[_Read, O]:
    """Several pictures, or one file of any other kind. Text fields are options, as in the query."""
    form = read_form(body, parameters.get("boundary", ""), limits.rows)
    query = query | form.fields
    kinds = [_kind(file) for file in form.files]
    if all(kind in media.PICTURES for kind, _ in kinds):
        resize = take_flag("resize", query)
        asked = read_options({}, query, options)
        return _pictures(form.files, detector, limits, resize, _tolerant(asked)), asked
    if len(form.files) > 1:
        raise BadInput("a form holds several pictures, or one file of another kind")
    kind, given = kinds[0]
    read, asked = _read(form.files[0].content, kind, given, query, detector, options, limits)
    return replace(read, media_type=kind), asked


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
