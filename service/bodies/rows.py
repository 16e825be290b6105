"""From a request to rows that the model accepts, whatever they came in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ebm.detector import Detector
from ebm.sieve import RowError, Values, sieve
from service.bodies.body import read_body
from service.bodies.formats import Read, is_tolerant, read
from service.bodies.limits import Limits
from service.bodies.media import JSON, NPY, ROWS, media_type
from service.bodies.options import query_of
from service.bodies.takes import takes
from service.settings import Settings

INLINE_BYTES = 2**16  # larger bodies are parsed in a worker thread, so that the event loop stays free
INLINE_NPY_BYTES = 2**20  # the same of arrays, which are looked at where they lie
INLINE_CELLS_BYTES = 2**13  # the same where every cell is a Python object
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
    kind, parameters = media_type(request, ROWS)
    body = await read_body(request, settings.max_body_bytes, settings.max_decompressed_bytes)
    limits = Limits.of(settings, max_rows, setting, nulls=nulls)
    work = partial(read, body, kind, parameters, query_of(request), detector, options, limits)
    few = INLINE_BYTES if takes(detector).numbers else INLINE_CELLS_BYTES
    if kind == NPY and takes(detector).numbers:
        few = INLINE_NPY_BYTES
    if kind in (JSON, NPY) and len(body) <= few:
        got, asked = work()
        if not is_tolerant(asked):
            return _strict(got), asked
        # Looking for bad rows may take long.
        return await run_in_threadpool(_finish, got, asked, detector)
    return await run_in_threadpool(lambda: _finish(*work(), detector))


def _finish(got: Read, asked: O, detector: Detector) -> tuple[Rows, O]:
    return (_sieved(got, detector) if is_tolerant(asked) else _strict(got)), asked


def _strict(got: Read) -> Rows:
    values = got.check(got.rows)
    return Rows(values, got.media_type, [], None, len(values))


def _sieved(got: Read, detector: Detector) -> Rows:
    def check(part: Any) -> Values:
        values = got.check(part)
        if not isinstance(values, np.ndarray):
            detector.preprocessor.transform(values)  # cells that only their encoding finds too large
        return values

    values, kept, errors = sieve(got.rows, check) if len(got.rows) else (None, [], [])
    total = len(got.rows) + len(got.bad)
    if not errors and not got.bad and values is not None:
        return Rows(values, got.media_type, [], None, total)
    # Rows that were bad already while reading are not among those counted here.
    places = np.setdiff1d(np.arange(total), [one.row for one in got.bad])
    moved = [
        RowError(int(places[e.row]), e.detail.replace(f"row {e.row}", f"row {places[e.row]}", 1), e.column)
        for e in errors
    ]
    found = sorted([*moved, *got.bad], key=lambda one: one.row)
    empty = got.rows[:0] if isinstance(got.rows, np.ndarray) else np.empty((0, 0))
    return Rows(empty if values is None else values, got.media_type, found, places[kept], total)
