"""What the long calls share: rows as an answer in the media type that came in, and limits that show on the way."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.ipc
import pyarrow.parquet as pq

from ebm.detector import Detector
from ebm.steps import Progress, Steps
from service.answers import rows_of
from service.binary import write_npy, write_png
from service.bodies import ARROW_FILE, ARROW_STREAM, CSV, JPEG, JSON, NPY, PARQUET, PNG
from service.errors import limit_exceeded
from service.settings import Settings

TABLES = (ARROW_STREAM, ARROW_FILE, PARQUET, CSV)
T = TypeVar("T")


def offers(detector: Detector, first: str) -> list[str]:
    """Media types of an answer with rows; `first`, in which rows came, is the default where it can hold the answer."""
    frame = getattr(detector.preprocessor, "frame", False)  # cells that are not all numbers
    able = [JSON, *([] if frame else [NPY]), *TABLES, *pictures(detector)]
    first = PNG if first == JPEG else first
    return [first, *(other for other in able if other != first)] if first in able else able


def pictures(detector: Detector) -> list[str]:
    """PNG, for models of images that can be shown."""
    return [PNG] if detector.kind == "image" and detector.preprocessor.schema()["channels"] in (1, 3) else []


def encode(values: Any, media_type: str, detector: Detector, *, per_line: int | None = None) -> bytes:
    """Rows in user units as bytes of any media type but JSON.

    Args:
        values: (n, *input_shape), or a table; for npy with more dimensions in front.
        per_line: pictures in a line of a grid.
    """
    if media_type == NPY:
        return write_npy(values)
    if media_type == PNG:
        flat = values.reshape(-1, *detector.input_shape)
        return write_png(flat, detector.preprocessor.schema(), per_line=per_line)
    return _WRITERS[media_type](as_table(values, detector))


def as_table(values: Any, detector: Detector) -> pa.Table:
    """Rows in user units as a table with the model's columns, or x0, x1, ...; images flat."""
    if isinstance(values, pa.Table):
        return values
    flat = values.reshape(len(values), -1)
    names = detector.columns or [f"x{j}" for j in range(flat.shape[1])]
    return pa.table({name: np.ascontiguousarray(flat[:, j]) for j, name in enumerate(names)})


def _arrow_stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _arrow_file(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _csv(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pacsv.write_csv(table, sink)
    return sink.getvalue()


_WRITERS: dict[str, Callable[[pa.Table], bytes]] = {
    ARROW_STREAM: _arrow_stream,
    ARROW_FILE: _arrow_file,
    PARQUET: _parquet,
    CSV: _csv,
}


def check_steps(n_steps: int, settings: Settings) -> None:
    """Raises a Problem, 422, over the limit."""
    if n_steps > settings.max_steps:
        raise limit_exceeded("n_steps", n_steps, settings.max_steps, "max_steps")


def check_values(states: int, rows: int, detector: Detector, settings: Settings) -> None:
    """Raises a Problem, 422, where an answer of `states` times `rows` rows is over the limit."""
    values = states * rows * math.prod(detector.input_shape)
    if values > settings.max_values:
        raise limit_exceeded("numbers in the answer", values, settings.max_values, "max_values")


def bounded(
    steps: Steps[Progress, None, T], n: int, keep_every: int, detector: Detector, settings: Settings
) -> Steps[Progress, None, T]:
    """`steps` of n chains, refused after the first where the whole is over a limit: before, its length is unknown."""
    first = next(steps)
    if first.n_total > settings.max_steps:
        raise limit_exceeded("steps in all", first.n_total, settings.max_steps, "max_steps")
    states = 1 + (first.n_total // keep_every if keep_every else 0)
    check_values(states, n, detector, settings)
    yield first
    return (yield from steps)


def rows_or_none(sets: Any) -> Any:
    """Several sets of rows for JSON: an array, or rows of cells for each table; None as it is."""
    if sets is None or isinstance(sets, np.ndarray):
        return sets
    return [rows_of(one) for one in sets]
