"""Rows come back in the form in which they were given: an array for an array, a frame for a frame, a picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
from PIL import Image

from ebm.client.calls import ARROW, JSON, NPY, PNG, document_of
from ebm.client.rows import Picture, decode_npy
from ebm.preprocessing.frames import is_frame


@dataclass(frozen=True)
class Part:
    """Rows of one answer, still in the form they travelled in, and the version that made them."""

    value: Any
    version: str


@dataclass(frozen=True)
class Form:
    """How to ask for rows like those given (`accept`), read an answer, and join the answers' rows."""

    accept: str
    read: Callable[[httpx.Response], Part]
    join: Callable[[list[Any]], Any]


def form_of(rows: Any, field: str) -> Form:
    """The form of `rows`; JSON answers hold theirs in `field`."""
    if isinstance(rows, Picture):
        opened = isinstance(rows, Image.Image)
        return Form(PNG, _binary(_open if opened else bytes), lambda parts: parts[0])
    if isinstance(rows, np.ndarray) and rows.dtype.kind in "biuf":
        return Form(NPY, _binary(decode_npy), np.concatenate)
    if is_frame(rows) and not isinstance(rows, list | tuple | Mapping):
        return Form(ARROW, _binary(_table), lambda parts: _like(rows, pa.concat_tables(parts)))
    named = isinstance(rows, list | tuple) and len(rows) > 0 and isinstance(rows[0], Mapping)

    def read(response: httpx.Response) -> Part:
        document = document_of(response)
        found = document[field]
        if named:
            found = [dict(zip(document["columns"], row, strict=True)) for row in found]
        return Part(found, document["version"])

    return Form(JSON, read, lambda parts: [row for part in parts for row in part])


def _binary(decode: Callable[[bytes], Any]) -> Callable[[httpx.Response], Part]:
    return lambda response: Part(decode(response.content), response.headers["x-model-version"])


def _open(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=["PNG"])


def _table(content: bytes) -> pa.Table:
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()


def _like(frame: Any, table: pa.Table) -> Any:
    """`table` as what `frame` is; polars and others with Arrow streams are made by their own class."""
    if isinstance(frame, pa.Table | pa.RecordBatch):
        return table
    return table.to_pandas() if hasattr(frame, "iloc") else type(frame)(table)
