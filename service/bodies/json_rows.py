"""Rows in JSON: `instances`, by position, or `records`, by column name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from ebm.detector import Detector
from ebm.errors import BadInput
from service.bodies.options import take_flag
from service.bodies.takes import Takes, as_input, takes
from service.errors import limit_exceeded

# Smaller bodies may hold what they like.
LARGE = 2**20


def require_flat(body: bytes, wanted: Takes, max_rows: int) -> None:
    """Refuse a large body of far more lists and objects than its rows can have: each takes some 20 times its bytes.

    Raises:
        Problem: 422.
    """
    if len(body) > LARGE:
        found = body.count(b"[") + body.count(b"{")  # brackets within texts among them
        most = 4 * (max_rows + 10) * (wanted.width + 2)
        if found > most:
            raise limit_exceeded("lists and objects", found, most, "max_rows")


def read_document(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; NaN and Infinity, which Python writes, are let through for whoever names the cell.

    Raises:
        BadInput: not JSON, or no object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in body and b"Infinity" not in body:
            raise BadInput(f"the body is not JSON: {error}") from None
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise BadInput(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadInput('the body must be a JSON object, e.g. {"instances": [[...]]}')
    return document


def take_rows(document: dict[str, Any], wanted: Takes, query: dict[str, str]) -> tuple[list[Any], bool]:
    """Take `instances` or `records`, at least one, out of the document; the options stay. And whether they are records.

    Raises:
        BadInput: neither, both, or not a list of rows.
    """
    if ("instances" in document) == ("records" in document):
        raise BadInput("give exactly one of 'instances' and 'records'")
    ignore_unknown = take_flag("ignore_unknown", query, document)
    if "records" in document:
        records = document.pop("records")
        if wanted.columns is None:
            raise BadInput(f"{wanted.name} has no column names; send 'instances'")
        if not isinstance(records, list) or not records:
            raise BadInput("'records' must be a list of objects, at least one")
        if ignore_unknown:
            known = wanted.known
            records = [
                {k: v for k, v in record.items() if k in known} if isinstance(record, dict) else record
                for record in records
            ]
        return records, True
    rows = document.pop("instances")
    if not isinstance(rows, list):
        raise BadInput("'instances' must be a list of rows")
    if not rows:
        raise BadInput("'instances' is empty: there is no row")
    if not isinstance(rows[0], list) and all(isinstance(row, int | float) for row in rows):
        raise BadInput("'instances' must be a list of rows; wrap a single row in another pair of brackets")
    return rows, False


def check_records(records: list[Any], detector: Detector, *, nulls: bool = False) -> np.ndarray | pa.Table:
    """Records as the model scores them.

    Raises:
        BadInput: a key that is missing or unknown, a cell that does not fit; names row and column.
    """
    wanted = takes(detector)
    columns = wanted.columns
    assert columns is not None
    rows = []
    for i, record in enumerate(records):
        try:
            if len(record) != len(columns):
                _refuse(record, i, wanted)
            rows.append([record[column] for column in columns])
        except (KeyError, TypeError, IndexError):
            _refuse(record, i, wanted)
    try:
        return as_input(rows, detector, nulls=nulls)
    except BadInput:
        if wanted.numbers:
            _refuse_nested(rows, columns)
        raise


def _refuse_nested(rows: list[list[Any]], columns: list[str]) -> None:
    for i, row in enumerate(rows):
        for column, cell in zip(columns, row, strict=True):
            if isinstance(cell, list | dict):
                raise BadInput(f"row {i}: column {column!r} is not a number", row=i, column=column)


def _refuse(record: Any, row: int, wanted: Takes) -> None:
    if not isinstance(record, dict):
        raise BadInput(f"row {row}: a record must be an object of column: value", row=row)
    for wrong in sorted(record.keys() - wanted.known):
        text = wrong[:80]
        raise BadInput(f"row {row}: the model has no column {text!r}", row=row, column=text)
    for column in wanted.columns or ():
        if column not in record:
            raise BadInput(f"row {row}: column {column!r} is missing", row=row, column=column)
