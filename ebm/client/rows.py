"""What may be scored, as request bodies: lists, records, arrays, frames and pictures, whole or a part of the rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
from PIL import Image

from ebm.client.calls import ARROW, JPEG, JSON, NPY, PNG, encode_json
from ebm.preprocessing.frames import as_table, is_frame

Picture = bytes | Path | Image.Image
Body = tuple[bytes, str]  # content and media type
KINDS = "lists, records, an array, a frame of pandas, polars or Arrow, or pictures (bytes, Path, PIL)"


@dataclass(frozen=True)
class Rows:
    """`n` rows that can be sent in parts; `body(start, stop)` encodes some of them."""

    n: int
    body: Callable[[int, int], Body]
    is_picture: bool = False

    @classmethod
    def of(cls, values: Any) -> Rows:
        """Take what the user gave.

        Raises:
            TypeError: none of the kinds that can be sent.
            BadInput: a frame whose columns cannot be.
        """
        if isinstance(values, Picture):
            return cls(1, lambda *_: encode_picture(values), is_picture=True)
        if isinstance(values, np.ndarray) and values.dtype.kind in "biuf" and values.ndim:
            return cls(len(values), lambda start, stop: (encode_npy(values[start:stop]), NPY))
        if isinstance(values, np.ndarray) and values.ndim:
            values = values.tolist()
        if isinstance(values, list | tuple):
            return _listed(values)
        if is_frame(values) and not isinstance(values, Mapping):
            table = as_table(values)
            return cls(table.num_rows, lambda start, stop: (encode_table(table[start:stop]), ARROW))
        raise TypeError(f"cannot send {type(values).__name__}: give {KINDS}")

    def parts(self, max_rows: int, max_bytes: int) -> Iterator[tuple[int, int, Body]]:
        """Start, stop and body of consecutive parts within both limits; a single row is never cut."""
        waiting = [(start, min(start + max_rows, self.n)) for start in range(0, self.n, max_rows)][::-1]
        while waiting:
            start, stop = waiting.pop()
            body = self.body(start, stop)
            if len(body[0]) > max_bytes and stop - start > 1:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
            else:
                yield start, stop, body


def _listed(values: Sequence[Any]) -> Rows:
    first = values[0] if values else None
    if isinstance(first, Picture):
        wrong = next((v for v in values if not isinstance(v, Picture)), None)
        if wrong is not None:
            raise TypeError(f"pictures and {type(wrong).__name__} cannot be sent together")
        return Rows(len(values), lambda start, stop: encode_pictures(values[start:stop]), is_picture=True)
    return Rows(len(values), lambda start, stop: (encode_json(json_rows(values[start:stop])), JSON))


def json_rows(values: Any) -> dict[str, Any]:
    """Rows as the part of a JSON document: {"instances": [...]} or {"records": [...]}; not pictures.

    Raises:
        TypeError: none of the kinds that can be sent in JSON.
    """
    if isinstance(values, np.ndarray) and values.ndim:
        return {"instances": values.tolist()}
    if is_frame(values) and not isinstance(values, list | tuple | Mapping):
        return {"records": as_table(values).to_pylist()}
    if isinstance(values, list | tuple) and not (values and isinstance(values[0], Picture)):
        named = bool(values) and isinstance(values[0], Mapping)
        return {"records" if named else "instances": list(values)}
    raise TypeError(f"cannot send {type(values).__name__} here: give lists, records, an array or a frame")


def encode_npy(array: np.ndarray) -> bytes:
    """npy, C order."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def decode_npy(content: bytes) -> np.ndarray:
    """The array of an npy answer."""
    return np.load(io.BytesIO(content), allow_pickle=False)


def encode_table(table: pa.Table) -> bytes:
    """An Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def encode_picture(picture: Picture) -> Body:
    """PNG or JPEG bytes as they are, others as PNG."""
    if isinstance(picture, Image.Image):
        stream = io.BytesIO()
        picture.save(stream, format="PNG")
        return stream.getvalue(), PNG
    content = picture.read_bytes() if isinstance(picture, Path) else picture
    return content, JPEG if content.startswith(b"\xff\xd8") else PNG


def encode_pictures(pictures: Sequence[Picture]) -> Body:
    """One picture, or several as multipart/form-data with one file a picture, in order."""
    if len(pictures) == 1:
        return encode_picture(pictures[0])
    return encode_form([("pictures", picture) for picture in pictures])


def encode_form(pictures: Sequence[tuple[str, Picture]]) -> Body:
    """Pictures by the names of their parts as multipart/form-data."""
    files = []
    for i, (name, picture) in enumerate(pictures):
        content, media_type = encode_picture(picture)
        files.append((name, (f"{name}-{i}", content, media_type)))
    request = httpx.Request("POST", "http://unused", files=files)
    return request.read(), request.headers["content-type"]
