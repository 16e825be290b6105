"""A request body becomes rows of numbers and options, or one line that names the row and column at fault.

JSON goes through orjson to numpy, not through nested pydantic lists; pydantic checks the options.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import orjson
import pyarrow as pa
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ebm.detector import Detector
from ebm.errors import BadInput, Cancelled
from ebm.preprocessing import Mixed
from service.binary import read_npy, read_picture
from service.errors import Problem, limit_exceeded
from service.settings import Settings

JSON, NPY, PNG, JPEG = "application/json", "application/x-npy", "image/png", "image/jpeg"
OFF_LOOP_BYTES = 2**16  # larger bodies are parsed in a worker thread, so that the event loop stays free

O = TypeVar("O", bound=BaseModel)  # noqa: E741


@dataclass(frozen=True)
class Rows:
    """What a body held: rows (n, *input_shape) that the model accepts, as a table where the model has columns that are
    not numbers, and the media type they came in."""

    values: np.ndarray | pa.Table
    media_type: str


async def read_rows(
    request: Request, detector: Detector, options: type[O], settings: Settings, max_rows: int, setting: str
) -> tuple[Rows, O]:
    """The rows and options of a request, whatever its media type. Options may also be query parameters.

    Raises:
        BadInput: with row and column where a cell is at fault.
        Problem: 413, 415, or 422 for more rows than `max_rows`.
    """
    media_type = _media_type(request, (JSON, NPY, PNG, JPEG))
    body = await read_body(request, settings.max_body_bytes)
    query = dict(request.query_params)

    def parse() -> tuple[Rows, O]:
        if media_type == JSON:
            document = _document(body)
            rows = _rows_of(document, detector)
            asked = read_options(document, query, options)
        elif media_type == NPY:
            asked = read_options({}, query, options)
            rows = read_npy(body)
        else:
            schema = detector.preprocessor.schema()
            if detector.kind != "image":
                raise Problem(415, "unsupported-media-type", f"{detector.name} takes rows, not pictures")
            resize = query.pop("resize", "false").lower() in ("1", "true", "yes")
            asked = read_options({}, query, options)
            rows = read_picture(body, schema, max_pixels=settings.max_pixels, resize=resize)
        if (isinstance(rows, list) or rows.ndim) and len(rows) > max_rows:
            raise limit_exceeded("rows", len(rows), max_rows, setting)
        return Rows(as_input(rows, detector), media_type), asked

    if len(body) > OFF_LOOP_BYTES:
        return await run_in_threadpool(parse)
    return parse()


async def read_only_options(request: Request, options: type[O], settings: Settings) -> O:
    """The options of a request without rows: a JSON object (or nothing), and query parameters."""
    body = await read_body(request, settings.max_body_bytes)
    if body:
        _media_type(request, (JSON,))
    return read_options(_document(body) if body else {}, dict(request.query_params), options)


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, never holding more than `limit` bytes."""
    too_large = Problem(
        413,
        "body-too-large",
        f"the body is over the limit of {limit} bytes",
        limit=limit,
        setting="EBM_MAX_BODY_BYTES",
    )
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "unsupported-content-encoding", "send the body without Content-Encoding")
    claimed = request.headers.get("content-length", "0")
    if claimed.isascii() and claimed.isdigit() and int(claimed[:20]) > limit:
        raise too_large
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise too_large
            parts.append(part)
    except ClientDisconnect:
        raise Cancelled("the client went away while sending") from None
    return b"".join(parts)


def as_input(rows: Any, detector: Detector) -> np.ndarray | pa.Table:
    """Rows as the model scores them, (n, *input_shape), checked by the model's own preprocessing.

    Raises:
        BadInput: wrong width or shape, ragged rows, a cell of the wrong type, no rows; names row and column.
    """
    if isinstance(detector.preprocessor, Mixed):
        # Types do not depend on the rows, so that requests can share a batch.
        return detector.preprocessor.rows(rows)
    transformed = detector.preprocessor.transform(rows)
    # `transform` has seen every cell; this cast cannot fail, and float64 keeps what JSON said.
    return np.asarray(rows, dtype=np.float64).reshape(len(transformed), *detector.input_shape)


def read_options(document: dict[str, Any], query: dict[str, str], options: type[O]) -> O:
    """What is left of a JSON document, and query parameters, as `options`; unknown keys are errors."""
    twice = document.keys() & query.keys()
    if twice:
        raise BadInput(f"{min(twice)}: given both in the body and in the query")
    try:
        # Query values are text by nature, JSON values are not: only the former may be turned into numbers.
        from_query = options.model_validate_strings(query).model_dump(exclude_unset=True) if query else {}
        return options.model_validate({**document, **from_query}, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise BadInput(f"{where}: {message}" if where else message) from None


def _media_type(request: Request, accepted: tuple[str, ...]) -> str:
    given = request.headers.get("content-type", JSON).split(";")[0].strip().lower()
    if given not in accepted:
        raise Problem(
            415,
            "unsupported-media-type",
            f"{given[:80] or 'an empty media type'}: send {', '.join(accepted)}",
        )
    return given


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in body and b"Infinity" not in body:
            raise BadInput(f"the body is not JSON: {error}") from None
        # Python writes NaN and Infinity, which are not JSON; read them, to name the cell at fault.
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise BadInput(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadInput('the body must be a JSON object, e.g. {"instances": [[...]]}')
    return document


def _rows_of(document: dict[str, Any], detector: Detector) -> Any:
    """Take `instances` or `records` out of the document."""
    if ("instances" in document) == ("records" in document):
        raise BadInput("give exactly one of 'instances' and 'records'")
    if "records" in document:
        return _from_records(document.pop("records"), detector)
    rows = document.pop("instances")
    if not isinstance(rows, list):
        raise BadInput("'instances' must be a list of rows")
    if not rows:
        raise BadInput("'instances' is empty: there is no row")
    if all(isinstance(row, int | float) for row in rows):
        raise BadInput("'instances' must be a list of rows; wrap a single row in another pair of brackets")
    return rows


def _from_records(records: Any, detector: Detector) -> list[Any]:
    columns = detector.columns
    if columns is None:
        raise BadInput(f"{detector.name} has no column names; send 'instances'")
    if not isinstance(records, list) or not records:
        raise BadInput("'records' must be a list of objects, at least one")
    if isinstance(detector.preprocessor, Mixed) and all(isinstance(record, dict) for record in records):
        return records  # it matches them by name itself, and knows which columns are numbers
    known = set(columns)
    rows = []
    for i, record in enumerate(records):
        if not isinstance(record, dict):
            raise BadInput(f"row {i}: a record must be an object of column: value", row=i)
        for wrong in record.keys() - known:
            raise BadInput(
                f"row {i}: the model has no column {str(wrong)[:80]!r}", row=i, column=str(wrong)[:80]
            )
        row = []
        for column in columns:
            if column not in record:
                raise BadInput(f"row {i}: column {column!r} is missing", row=i, column=column)
            if isinstance(record[column], list | dict):
                raise BadInput(f"row {i}: column {column!r} is not a number", row=i, column=column)
            row.append(record[column])
        rows.append(row)
    return rows
