"""Bodies for three-column tables and 6 x 5 pictures, and what can go wrong with bytes on their way."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.ipc
import pyarrow.parquet as pq
from PIL import Image

JSON, NPY, CSV = "application/json", "application/x-npy", "text/csv"
STREAM, FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
PARQUET, PNG, JPEG = "application/vnd.apache.parquet", "image/png", "image/jpeg"
FORM = "multipart/form-data; boundary=limes"
COLUMNS = ("age", "income", "height")


def people(n: int = 5) -> pa.Table:
    rng = np.random.default_rng(4)
    return pa.table({name: rng.normal(40, 2, n) for name in COLUMNS})


def mixed(n: int = 5) -> pa.Table:
    """A row of every type that a column of a body may have."""
    noon = [dt.datetime(2024, 1, 1 + i % 28, 12, tzinfo=dt.UTC) for i in range(n)]
    return pa.table(
        {
            "age": pa.array([1.5, None, 3.0, 4.0, 5.0][:n]),
            "city": pa.array(["Bonn", None, "Rome", "Oslo", "Bonn"][:n]).dictionary_encode(),
            "member": [i % 2 == 0 for i in range(n)],
            "since": pa.array(noon, pa.timestamp("us", "UTC")),
        }
    )


def stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(
        sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_table(table)
    return sink.getvalue()


def file(table: pa.Table, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(
        sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)  # type: ignore[arg-type]
    return sink.getvalue()


def csv(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pacsv.write_csv(table, sink)
    return sink.getvalue()


def npy(array: object, **options: object) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.asarray(array), **options)  # type: ignore[arg-type]
    return sink.getvalue()


def npy_claim(shape: str, descr: str = "'<f8'", data: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def picture(kind: str = "PNG", size: tuple[int, int] = (5, 6), mode: str = "L", **options: object) -> bytes:
    rng = np.random.default_rng(0)
    noise = Image.frombytes("RGB", size, rng.bytes(3 * size[0] * size[1])).convert(mode)
    sink = io.BytesIO()
    noise.save(sink, kind, **options)
    return sink.getvalue()


def png_claim(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, and whose pixels are missing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + end


def form(*files: tuple[str, str, bytes], fields: dict[str, str] | None = None) -> bytes:
    """Parts of (file name, media type, content), and text fields."""
    parts = [
        f'--limes\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in (fields or {}).items()
    ]
    for name, kind, content in files:
        head = f'Content-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: {kind}'
        parts.append(f"--limes\r\n{head}\r\n\r\n".encode() + content + b"\r\n")
    return b"".join(parts) + b"--limes--\r\n"


def records(table: pa.Table) -> bytes:
    return json.dumps({"records": table.to_pylist()}, default=lambda moment: moment.isoformat()).encode()


# Name -> (model that takes it, media type, a good body). `people` are three numbers, `blobs` 6 x 5 pictures, `mixed`
# a number, a category, a boolean and a time.
GOOD: dict[str, tuple[str, str, bytes]] = {
    "json": ("people", JSON, json.dumps({"instances": [[41, 40, 39.5]], "fpr": 0.1}).encode()),
    "records": ("people", JSON, records(people(2))),
    "mixed-json": ("mixed", JSON, records(mixed(2))),
    "npy": ("people", NPY, npy(np.full((4, 3), 40.0))),
    "npy-picture": ("blobs", NPY, npy(np.zeros((1, 6, 5), np.uint8))),
    "csv": ("people", CSV, csv(people())),
    "mixed-csv": ("mixed", CSV, csv(mixed())),
    "stream": ("people", STREAM, stream(people())),
    "stream-lz4": ("people", STREAM, stream(people(), "lz4")),
    "stream-zstd": ("people", STREAM, stream(people(), "zstd")),
    "mixed-stream": ("mixed", STREAM, stream(mixed())),
    "file": ("people", FILE, file(people(), "lz4")),
    "mixed-file": ("mixed", FILE, file(mixed())),
    "parquet": ("people", PARQUET, parquet(people())),
    "parquet-zstd": ("people", PARQUET, parquet(people(), compression="zstd", data_page_version="2.0")),
    "parquet-plain": ("people", PARQUET, parquet(people(), compression="none", use_dictionary=False)),
    "mixed-parquet": ("mixed", PARQUET, parquet(mixed())),
    "png": ("blobs", PNG, picture()),
    "png-rgba": ("blobs", PNG, picture(mode="RGBA")),
    "png-palette": ("blobs", PNG, picture(mode="P")),
    "jpeg": ("blobs", JPEG, picture("JPEG")),
    "jpeg-progressive": ("blobs", JPEG, picture("JPEG", mode="RGB", progressive=True)),
    "form": ("blobs", FORM, form(("a.png", PNG, picture()), ("b.jpg", JPEG, picture("JPEG")))),
    "form-csv": ("people", FORM, form(("rows.csv", CSV, csv(people())), fields={"fpr": "0.2"})),
    "form-parquet": ("mixed", FORM, form(("rows.parquet", PARQUET, parquet(mixed())))),
}


def _flip_bits(data: bytearray, rng: np.random.Generator) -> bytearray:
    for at in rng.integers(0, len(data), rng.choice([1, 1, 1, 2, 8])):
        data[at] ^= 1 << int(rng.integers(8))
    return data


def _set_bytes(data: bytearray, rng: np.random.Generator) -> bytearray:
    for at in rng.integers(0, len(data), rng.integers(1, 5)):
        data[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
    return data


def _set_number(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A length, an offset or a count that lies."""
    width = int(rng.choice([2, 4, 8]))
    at = int(rng.integers(0, max(1, len(data) - width)))
    value = int(rng.choice([0, 1, -1, 2**15 - 1, 2**31 - 1, 2**40, 2**62, -(2**31), 1000]))
    data[at : at + width] = (value & (2 ** (8 * width) - 1)).to_bytes(width, "little")
    return data


def _cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(0, len(data)))]


def _cut_out(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(0, len(data)))
    del data[start : start + int(rng.integers(1, 64))]
    return data


def _repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(0, len(data)))
    piece = data[start : start + int(rng.integers(1, 200))]
    return data[:start] + piece * int(rng.integers(2, 20)) + data[start:]


# Slight ones come oftener: they get further before they are found.
MUTATIONS: list[Callable[[bytearray, np.random.Generator], bytearray]] = [
    _flip_bits,
    _flip_bits,
    _flip_bits,
    _set_bytes,
    _set_bytes,
    _set_number,
    _set_number,
    _cut,
    _cut_out,
    _repeat,
]


def mutate(body: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """`body` after one to three mishaps, one of which may be a piece of `other`."""
    data = bytearray(body)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        if not data:
            break
        if rng.random() < 0.1 and other:
            at, start = int(rng.integers(0, len(data))), int(rng.integers(0, len(other)))
            data[at:at] = other[start : start + int(rng.integers(1, 300))]
        else:
            data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng)
    return bytes(data)


def gzip_bomb(size: int) -> bytes:
    """Zeros: 1000 times what is sent, then packed once more as its own member."""
    return gzip.compress(b"\0" * size, 9)
