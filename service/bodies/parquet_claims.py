"""What a Parquet file claims, in its footer and in the header of each page, before a page is decompressed.

Read here and not by `pyarrow.parquet.FileMetaData`, whose `row_group(i).column(j)` ends the whole process on some
damaged files (pyarrow 26: a C++ exception that nobody catches), and which does not show page headers at all, though
these, and not the footer, say how much memory a reader takes.

Layout: parquet.thrift (https://github.com/apache/parquet-format).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.bodies.thrift import Fields, read_struct

MAGIC = b"PAR1"
DATA, DICTIONARY, DATA_V2 = 0, 2, 3  # PageType
INNER = {DATA: 5, DICTIONARY: 7, DATA_V2: 8}  # which field of a page's header tells more of it
DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY = 6, 7  # Encoding: few bytes may stand for very many


@dataclass(frozen=True)
class Chunk:
    """Where the pages of one column of one row group lie; `path` is the column's name."""

    path: str
    start: int
    end: int


@dataclass(frozen=True)
class Group:
    rows: int
    chunks: list[Chunk]


@dataclass(frozen=True)
class Page:
    """Sizes in bytes; values of a data page or a dictionary; its encoding, as a number."""

    kind: int
    uncompressed: int
    values: int
    encoding: int


def footer_size(body: bytes) -> int:
    """Bytes of the footer; raises ValueError for what is no Parquet file."""
    if len(body) < 12 or not body.startswith(MAGIC) or not body.endswith(MAGIC):
        raise ValueError("it does not begin and end with PAR1")
    size = int.from_bytes(body[-8:-4], "little")
    if size > len(body) - 12:
        raise ValueError("its metadata are cut off")
    return size


def groups(body: bytes) -> Iterator[Group]:
    """The row groups.

    Raises:
        ValueError, IndexError: not what the format says.
    """
    size = footer_size(body)
    footer, _ = read_struct(memoryview(body)[len(body) - 8 - size : -8], 0)
    total = 0
    for group in _typed(footer.get(4, []), list):
        rows = _number(_typed(group, dict), 3)
        total += rows
        yield Group(rows, [_chunk(_typed(c, dict), len(body)) for c in _typed(group.get(1), list)])
    if total != _number(footer, 3):
        raise ValueError(f"it claims {_number(footer, 3)} rows, its row groups {total}")


def pages(body: bytes, chunk: Chunk) -> Iterator[Page]:
    """The pages of a column.

    Raises:
        ValueError, IndexError: not what the format says.
    """
    data, at = memoryview(body), chunk.start
    while at < chunk.end:
        header, at = read_struct(data, at)
        kind = _number(header, 1)
        inner = _typed(header.get(INNER.get(kind, -1), {}), dict)
        values = _number(inner, 1) if inner else 0
        encoding = _number(inner, 4 if kind == DATA_V2 else 2) if inner else 0
        yield Page(kind, _number(header, 2), values, encoding)
        at += _number(header, 3)
    if at != chunk.end:
        raise ValueError("a page goes beyond its column")


def _chunk(fields: Fields, size: int) -> Chunk:
    about = _typed(fields.get(3), dict)
    path = [bytes(_typed(part, memoryview)).decode("utf-8") for part in _typed(about.get(3), list)]
    start = _number(about, 9)
    dictionary = about.get(11)
    if isinstance(dictionary, int) and 0 < dictionary < start:
        start = dictionary
    end = start + _number(about, 7)
    if start < len(MAGIC) or end > size:
        raise ValueError("a column lies outside the body")
    return Chunk(".".join(path), start, end)


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError("a part of the metadata is missing")
    return value


def _number(fields: Fields, field: int) -> int:
    value = fields.get(field)
    if not isinstance(value, int) or value < 0:
        raise ValueError("a number is missing or below zero")
    return value
