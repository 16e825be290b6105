"""What the tests of explain, denoise, impute and generate share."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.ipc
import pyarrow.parquet as pq
from PIL import Image

NPY, PNG, JPEG, JSON, CSV = "application/x-npy", "image/png", "image/jpeg", "application/json", "text/csv"
ARROW_STREAM, ARROW_FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"


def load(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content), allow_pickle=False)


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def encode_picture(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def _ipc(table: pa.Table, opened: Callable[..., Any]) -> bytes:
    sink = io.BytesIO()
    with opened(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _written(table: pa.Table, write: Callable[..., Any]) -> bytes:
    sink = io.BytesIO()
    write(table, sink)
    return sink.getvalue()


WRITERS: dict[str, Callable[[pa.Table], bytes]] = {
    ARROW_STREAM: lambda t: _ipc(t, pa.ipc.new_stream),
    ARROW_FILE: lambda t: _ipc(t, pa.ipc.new_file),
    PARQUET: lambda t: _written(t, pq.write_table),
    CSV: lambda t: _written(t, pacsv.write_csv),
}
READERS: dict[str, Callable[[bytes], pa.Table]] = {
    ARROW_STREAM: lambda b: pa.ipc.open_stream(b).read_all(),
    ARROW_FILE: lambda b: pa.ipc.open_file(pa.BufferReader(b)).read_all(),
    PARQUET: lambda b: pq.read_table(pa.BufferReader(b)),
    CSV: lambda b: pacsv.read_csv(pa.BufferReader(b)),
}
