"""Bodies that claim, or unfold to, far more than they hold: refused before memory is taken."""

from __future__ import annotations

import gzip
import io
import resource
import struct
import subprocess
import sys
import zlib
from base64 import b85decode
from pathlib import Path
from typing import Any

import corpus
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from PIL import Image
from test_body_formats import BLOBS, MIXED, PEOPLE, post

from service.bodies import parquet_claims
from service.bodies.ipc_metadata import BATCH, DICTIONARY, SCHEMA, read_claim
from service.bodies.thrift import read_struct

LIMIT = 5_000_000  # of the app's decompressed bytes
ABORTING = zlib.decompress(
    b85decode(
        "c-jka3^EjD5S0;?(Gg_=GT21fWEdD2m_V430SrFai?T@Sm@-JP6(?t;<|c|VF^F=hFi9{crl&H9F-giu%BV5Oh;m7)vN1@4MMZ(aVoqXCY8;+2Kr<PDI&3uAB-O"
        "yi0wtK#IK-S7G!zOFiwa9qOLUV93Um{Tit@`9%2JDpGxPHljLh^5^b93sKyIl6;sBsC0iebkYX"
    )
)


def long_texts(n: int = 50, size: int = 1_000_000) -> pa.Table:
    """One text of a megabyte, in every row of a dictionary's column: fifty megabytes written out."""
    rows = corpus.mixed(1)
    city = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array(["x" * size]))
    columns = {
        name: pa.array([rows[name][0].as_py()] * n, rows[name].type) for name in ("age", "member", "since")
    }
    return pa.table({**columns, "city": city})


def zeros(n: int = 100, columns: int = 3) -> pa.Table:
    return pa.table({name: np.zeros(n) for name in corpus.COLUMNS[:columns]})


def many_rows() -> pa.Table:
    return pa.table({name: np.zeros(2_000_000) for name in corpus.COLUMNS})


def of_nulls(n: int) -> bytes:
    """Columns of nulls have no buffers: a batch of any length is a few bytes."""
    body = corpus.stream(pa.table({name: pa.nulls(77) for name in corpus.COLUMNS}))
    return body.replace(struct.pack("<q", 77), struct.pack("<q", n))


def lying_buffer() -> bytes:
    """Arrow writes how long a buffer is before its compressed bytes; here it says a terabyte."""
    body = corpus.stream(zeros(), "lz4")
    at = body.index(struct.pack("<q", 800), 500)
    return body[:at] + struct.pack("<q", 2**40) + body[at + 8 :]


def lying_page(size: int) -> bytes:
    """A Parquet page whose header claims another size than the footer does."""
    body = corpus.parquet(zeros(100), compression="snappy", use_dictionary=False)
    claim = parquet_claims.groups(body)
    chunk = next(iter(claim)).chunks[0]
    page = next(iter(parquet_claims.pages(body, chunk)))
    old, new = _varint(page.uncompressed), _varint(size)
    at = body.index(b"\x15" + old, chunk.start) + 1
    return body[:at] + new + body[at + len(old) :]


def _varint(value: int) -> bytes:
    value, out = value << 1, b""
    while True:
        out += bytes([value & 0x7F | (0x80 if value > 0x7F else 0)])
        value >>= 7
        if not value:
            return out


def lying_rows(claimed: int) -> bytes:
    """A Parquet file of a hundred rows whose footer claims another number, everywhere it says it."""
    body = corpus.parquet(zeros(100), compression="none", use_dictionary=False)
    start = len(body) - 8 - parquet_claims.footer_size(body)
    footer = body[start:-8].replace(_varint(100), _varint(claimed))
    return body[:start] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def jpeg_of_scans(n: int) -> bytes:
    """A progressive JPEG whose last scan is there n times."""
    body = corpus.picture("JPEG", progressive=True)
    last = body.rindex(b"\xff\xda")
    return body[:last] + body[last:-2] * n + body[-2:]


def zipped_text_chunk() -> bytes:
    body = corpus.picture()
    packed = b"Comment\0\0" + zlib.compress(b"\0" * 50_000_000, 9)
    chunk = (
        struct.pack(">I", len(packed)) + b"zTXt" + packed + struct.pack(">I", zlib.crc32(b"zTXt" + packed))
    )
    return body[:33] + chunk + body[33:]


BOMBS = {
    "npy that claims terabytes": (BLOBS, corpus.NPY, corpus.npy_claim("(1250000000000, 30)"), 422, "claims"),
    "npy of no bytes and many rows": (PEOPLE, corpus.NPY, corpus.npy_claim(f"({2**62}, 0)"), 422, "impossible shape"),
    "npy of many dimensions": (PEOPLE, corpus.NPY, corpus.npy_claim("(" + "1," * 40 + ")"), 422, "impossible shape"),
    "deep JSON": (PEOPLE, corpus.JSON, b'{"instances":' + b"[" * 200_000 + b"]" * 200_000 + b"}", 422, ""),
    "deep JSON with NaN": (PEOPLE, corpus.JSON, b'{"instances":[NaN,' + b'{"a":' * 100_000 + b"}", 422, "not JSON"),
    "JSON of empty lists": (PEOPLE, corpus.JSON, b'{"instances":[' + b"[]," * 1_200_000 + b"[]]}", 422, "lists and"),
    "JSON of empty objects": (PEOPLE, corpus.JSON, b'{"records":[' + b"{}," * 1_200_000 + b"{}]}", 422, "lists and"),
    "NaN": (PEOPLE, corpus.JSON, b'{"instances": [[41, NaN, 1]]}', 422, "is missing (NaN)"),
    "ragged rows": (PEOPLE, corpus.JSON, b'{"instances": [[41, 1, 1], [2]]}', 422, "row 1"),
    "PNG that claims to be huge": (BLOBS, corpus.PNG, corpus.png_claim(60_000, 60_000), 422, "limit"),
    "PNG that claims to be large": (BLOBS, corpus.PNG, corpus.png_claim(300, 300), 422, "more than the limit"),
    "PNG of the right size without pixels": (BLOBS, corpus.PNG, corpus.png_claim(5, 6), 422, "damaged"),
    "PNG with a packed text": (BLOBS, corpus.PNG, zipped_text_chunk(), 422, "not a readable image"),
    "JPEG of many scans": (BLOBS, corpus.JPEG, jpeg_of_scans(1000), 422, "scans"),
    "Arrow of many rows": (PEOPLE, corpus.STREAM, corpus.stream(many_rows(), "zstd"), 422, "over the limit of 100"),
    "Arrow of nothing but rows": (PEOPLE, corpus.STREAM, of_nulls(2**62), 422, "over the limit of 100"),
    "Arrow with a lying buffer": (PEOPLE, corpus.STREAM, lying_buffer(), 413, "decompressed"),
    "Arrow with a long text": (MIXED, corpus.STREAM, corpus.stream(long_texts()), 413, "text"),
    "Arrow with a long packed text": (MIXED, corpus.STREAM, corpus.stream(long_texts(3, 6_000_000), "zstd"), 413, ""),
    "Arrow file of many rows": (PEOPLE, corpus.FILE, corpus.file(many_rows(), "zstd"), 422, "over the limit of 100"),
    "Parquet of many rows": (PEOPLE, corpus.PARQUET, corpus.parquet(many_rows()), 422, "over the limit of 100"),
    "Parquet with a lying page": (PEOPLE, corpus.PARQUET, lying_page(2**31 - 1), 413, "decompressed"),
    "Parquet of more rows than it has": (PEOPLE, corpus.PARQUET, lying_rows(101), 422, "over the limit of 100"),
    "Parquet of fewer rows": (PEOPLE, corpus.PARQUET, lying_rows(99), 422, "Parquet body"),
    "Parquet with a long text": (MIXED, corpus.PARQUET, corpus.parquet(long_texts()), 413, "text"),
    "Parquet with a long packed text": (
        MIXED, corpus.PARQUET, corpus.parquet(long_texts(3, 6_000_000), compression="zstd"), 413, ""
    ),
    "Parquet with growing texts": (
        MIXED,
        corpus.PARQUET,
        corpus.parquet(long_texts(), use_dictionary=False, column_encoding={"city": "DELTA_BYTE_ARRAY"}),
        422,
        "delta encoding",
    ),
    "Parquet that ends pyarrow": (PEOPLE, corpus.PARQUET, ABORTING, 422, "Parquet body"),
    "CSV of one endless line": (PEOPLE, corpus.CSV, b"1" * 3_900_000, 422, "not a readable CSV"),
    "CSV of zeros": (PEOPLE, corpus.CSV, b"\0" * 3_900_000, 422, ""),
    "CSV of commas": (PEOPLE, corpus.CSV, b"," * 3_900_000, 422, "columns"),
    "CSV of an open quote": (PEOPLE, corpus.CSV, b'"' + b"\n" * 3_900_000, 422, ""),
    "CSV of line breaks": (PEOPLE, corpus.CSV, b"age,income,height" + b"\n" * 3_900_000, 422, "no rows"),
    "a form of nothing": (BLOBS, corpus.FORM, b"--limes\r\n" * 400_000, 422, "form"),
    "a form of headers": (BLOBS, corpus.FORM, b"--limes\r\n" + b"A: b\r\n" * 500_000, 422, "form"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.timeout(60)  # a hang, not a pace: each takes well under a second
def test_bombs(both: Any, name: str) -> None:
    url, kind, body, status, words = BOMBS[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = post(both, url, kind, body)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert words in detail and "\n" not in detail and len(detail) < 500
    assert grown < 150_000_000, "the peak of memory grew"


def test_bombs_in_gzip(both: Any) -> None:
    packed = corpus.gzip_bomb(300_000_000)
    assert len(packed) < 300_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = post(both, PEOPLE, corpus.JSON, packed, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413 and answer.json()["setting"] == "EBM_MAX_DECOMPRESSED_BYTES"
    members = gzip.compress(b" " * 100_000) * 500
    assert post(both, PEOPLE, corpus.JSON, members, headers={"content-encoding": "gzip"}).status_code == 413
    empty = gzip.compress(b"") * 100_000
    answer = post(both, PEOPLE, corpus.JSON, empty, headers={"content-encoding": "gzip"})
    assert answer.status_code == 422 and "members" in answer.json()["detail"]
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 100_000_000


def test_pyarrows_own_view_of_the_footer_ends_the_process(tmp_path: Path) -> None:
    """Why `parquet_claims` reads it: should a newer pyarrow raise instead, that module may become shorter."""
    (tmp_path / "x.parquet").write_bytes(ABORTING)
    look = "import pyarrow.parquet as p, sys; p.ParquetFile(sys.argv[1]).metadata.row_group(0).column(0)"
    done = subprocess.run(
        [sys.executable, "-c", look, tmp_path / "x.parquet"], capture_output=True, check=False
    )
    assert done.returncode < 0, "no longer aborts"


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False, "compression": "zstd", "data_page_size": 100},
                                     {"data_page_version": "2.0", "row_group_size": 30}])  # fmt: skip
def test_the_claims_of_a_parquet_file_are_pyarrows(options: dict[str, Any]) -> None:
    rows = pa.table({"a": np.arange(100.0), "b": [str(i % 7) for i in range(100)]})
    body = corpus.parquet(rows, **options)
    metadata = pq.ParquetFile(io.BytesIO(body)).metadata
    groups = list(parquet_claims.groups(body))
    assert [group.rows for group in groups] == [
        metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)
    ]
    for i, group in enumerate(groups):
        for j, chunk in enumerate(group.chunks):
            column = metadata.row_group(i).column(j)
            assert chunk.path == column.path_in_schema
            assert chunk.end - chunk.start == column.total_compressed_size
            pages = list(parquet_claims.pages(body, chunk))
            assert sum(page.values for page in pages if page.kind != parquet_claims.DICTIONARY) == group.rows
            assert (pages[0].kind == parquet_claims.DICTIONARY) == column.has_dictionary_page
            assert 0 < sum(page.uncompressed for page in pages) <= column.total_uncompressed_size


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_the_claims_of_an_arrow_message(compression: str | None) -> None:
    rows = pa.table({"a": np.arange(1000.0), "b": pa.array(["x", "y"] * 500).dictionary_encode()})
    body = corpus.stream(rows, compression)
    claims = [
        read_claim(memoryview(message.metadata), memoryview(message.body))
        for message in pa.ipc.MessageReader.open_stream(body)
    ]
    assert [(c.kind, c.rows) for c in claims] == [(SCHEMA, 0), (DICTIONARY, 2), (BATCH, 1000)]
    # 8 bytes for each number, 4 for each index; padding, or a bitmap of validity, may come on top.
    assert 12_000 <= claims[2].decompressed <= 12_300 if compression else claims[2].decompressed == 0


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "index"),
        (b"\x15", "index"),
        (b"\x15\x02\x05\x02\x02\x00", "twice"),
        (b"\x1c" * 100, "deeply"),
        (b"\x19" + b"\x19" * 100, "deeply"),
        (b"\x18\xff\xff\x03", "cut off"),
        (b"\x19\xf5\xff\xff\x03", "cut off"),
        (b"\x15" + b"\xff" * 20, "too long"),
        (b"\x1b\x00", "kind"),
    ],
)
def test_thrift_that_is_none(data: bytes, words: str) -> None:
    with pytest.raises((ValueError, IndexError), match=words):
        read_struct(memoryview(data), 0)


def test_rows_beyond_the_pictures_that_a_form_may_hold(both: Any) -> None:
    sink = io.BytesIO()
    Image.new("L", (100, 100)).save(sink, "PNG")
    files = [("a.png", corpus.PNG, sink.getvalue())] * 50  # half a million pixels in a few kilobytes
    answer = post(both, BLOBS, corpus.FORM, corpus.form(*files), params={"resize": "1"})
    assert answer.status_code == 422 and "pixels of all pictures" in answer.json()["detail"]


def test_a_message_without_end_is_no_arrow(both: Any) -> None:
    for body in (b"", b"ARROW1", b"ARROW1\0\0", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff" * 100):
        answer = post(both, PEOPLE, corpus.STREAM, body)
        assert answer.status_code == 422 and "Arrow" in answer.json()["detail"]
    for metadata in (b"", b"\x04\0", b"\xff" * 8, b"\x04\0\0\0" + b"\x7f" * 8):
        with pytest.raises((ValueError, struct.error)):
            read_claim(memoryview(metadata), memoryview(b""))
