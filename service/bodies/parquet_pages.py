"""The headers of Parquet pages, which say how much memory a reader will take; the metadata of the file may say other.

Layout: parquet.thrift (https://github.com/apache/parquet-format), in Thrift's compact protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DATA, DICTIONARY, DATA_V2 = 0, 2, 3  # PageType
DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY = 6, 7  # Encoding: few bytes may stand for very many
MAX_DEPTH = 8
STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(13)


@dataclass(frozen=True)
class Page:
    """Sizes in bytes; values of a data page or a dictionary; its encoding, as a number."""

    kind: int
    uncompressed: int
    values: int
    encoding: int


def pages(data: memoryview, start: int, end: int) -> list[Page]:
    """The pages of a column chunk that lies in data[start:end].

    Raises:
        ValueError: not what the format says.
    """
    found = []
    while start < end:
        header, start = _struct(data, start, 0)
        compressed, uncompressed = header.get(3), header.get(2)
        if (
            not isinstance(compressed, int)
            or not isinstance(uncompressed, int)
            or min(compressed, uncompressed) < 0
        ):
            raise ValueError("a page of no possible size")
        kind = header.get(1)
        inner = {DATA: header.get(5), DICTIONARY: header.get(7), DATA_V2: header.get(8)}.get(kind, {})  # type: ignore[arg-type]
        if not isinstance(inner, dict):
            raise ValueError("a page without a header")
        encoding = inner.get(4 if kind == DATA_V2 else 2, 0)
        found.append(
            Page(kind if isinstance(kind, int) else -1, uncompressed, _int(inner.get(1, 0)), _int(encoding))
        )
        start += compressed
        if start > end:
            raise ValueError("a page goes beyond its column")
    return found


def _int(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError("a number is missing")
    return value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number too long")


def _zigzag(data: memoryview, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _struct(data: memoryview, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """The fields that are numbers or structs, by their number."""
    if depth > MAX_DEPTH:
        raise ValueError("structs nested too deeply")
    fields: dict[int, Any] = {}
    last = 0
    while True:
        head = data[at]
        at += 1
        if head == STOP:
            return fields, at
        kind, step = head & 0x0F, head >> 4
        if step:
            last += step
        else:
            last, at = _zigzag(data, at)
        if last in fields:
            raise ValueError("a field is there twice")
        fields[last], at = _value(data, at, kind, depth)


def _value(data: memoryview, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (TRUE, FALSE):
        return kind == TRUE, at
    if kind == BYTE:
        return data[at], at + 1
    if kind in (I16, I32, I64):
        return _zigzag(data, at)
    if kind == DOUBLE:
        return None, at + 8
    if kind == BINARY:
        length, at = _varint(data, at)
        return None, at + length
    if kind == STRUCT:
        return _struct(data, at, depth + 1)
    # Page headers hold no lists, sets or maps.
    raise ValueError(f"a field of kind {kind}")
