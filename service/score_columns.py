"""Scores as the columns of an answer, in JSON, npy or Arrow; rows that could not be scored have their place."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.ipc

from ebm.answers import Scores
from service.answers import non_finite
from service.bodies import Rows
from service.registry import Loaded

FIELDS = ("energy", "anomaly_score", "p_value", "is_anomaly", "rank")


def no_scores(fpr: float | None, fdr: float | None) -> Scores:
    """Of a request without a single row that can be scored."""
    none = np.zeros(0)
    return Scores(
        none.astype(np.float32), none, none, none.astype(bool), none.astype(np.int64), fpr, fdr, None
    )


def as_json(scores: Scores, rows: Rows, loaded: Loaded) -> dict[str, Any]:
    """The document of the answer. NaN and infinite energies are null, as JSON has no such numbers, and named."""
    bad = non_finite(energy=scores.energy, anomaly_score=scores.anomaly_score)
    columns: dict[str, Any] = {field: getattr(scores, field) for field in FIELDS}
    if rows.positions is not None:
        for one in bad:
            one["row"] = int(rows.positions[one["row"]])
        columns = {field: _spread(column, rows) for field, column in columns.items()}
    return {
        "model": loaded.name,
        "version": loaded.version,
        "higher_is_more_anomalous": True,
        "fpr": scores.fpr,
        "fdr": scores.fdr,
        **columns,
        "non_finite": bad,
        "errors": [error.as_json() for error in rows.errors],
        "note": scores.note,
    }


def as_table(scores: Scores, rows: Rows) -> np.ndarray:
    """A structured array (n,) with a field a column; of a row that could not be scored NaN, false and rank 0."""
    columns = {field: getattr(scores, field) for field in FIELDS}
    table = np.zeros(rows.total, [(field, column.dtype) for field, column in columns.items()])
    for field, column in columns.items():
        if column.dtype.kind == "f":
            table[field] = np.nan
        table[field][slice(None) if rows.positions is None else rows.positions] = column
    return table


def as_arrow(scores: Scores, rows: Rows, loaded: Loaded) -> bytes:
    """An IPC stream of the columns, null where a row could not be scored; model, version and errors as metadata."""
    mask = None
    if rows.positions is not None:
        mask = np.ones(rows.total, dtype=bool)
        mask[rows.positions] = False
    table = as_table(scores, rows)
    arrays = [pa.array(np.ascontiguousarray(table[field]), mask=mask) for field in FIELDS]
    about = {
        "model": loaded.name,
        "version": loaded.version,
        "errors": orjson.dumps([error.as_json() for error in rows.errors]),
    }
    found = pa.table(arrays, names=list(FIELDS)).replace_schema_metadata(about)
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, found.schema) as writer:
        writer.write_table(found)
    return stream.getvalue()


def _spread(column: np.ndarray, rows: Rows) -> Any:
    """All rows that were sent, with what JSON writes as null where one could not be scored."""
    if column.dtype.kind == "f":
        found = np.full(rows.total, np.nan, dtype=column.dtype)
        found[rows.positions] = column
        return found
    cells = np.full(rows.total, None, dtype=object)
    cells[rows.positions] = column
    return cells.tolist()
