"""Thrift's compact protocol, as far as Parquet uses it, read without believing a length.

Layout: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any

STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(13)
MAX_DEPTH = 16

Fields = dict[int, Any]


def read_struct(data: memoryview, at: int, depth: int = 0) -> tuple[Fields, int]:
    """The fields of a struct by their number, and where it ends: numbers, bytes, lists and structs.

    Raises:
        ValueError, IndexError: not what the protocol says, or cut off.
    """
    if depth > MAX_DEPTH:
        raise ValueError("structs nested too deeply")
    fields: Fields = {}
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
        if last in fields:  # readers differ in which of the two they take
            raise ValueError("a field is there twice")
        if kind in (TRUE, FALSE):
            fields[last] = kind == TRUE
        else:
            fields[last], at = _value(data, at, kind, depth)


def _value(data: memoryview, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (I16, I32, I64):
        return _zigzag(data, at)
    if kind == BINARY:
        length, at = _varint(data, at)
        if at + length > len(data):
            raise ValueError("a text is cut off")
        return data[at : at + length], at + length
    if kind == STRUCT:
        return read_struct(data, at, depth + 1)
    if kind in (LIST, SET):
        return _list(data, at, depth + 1)
    if kind in (TRUE, FALSE, BYTE):
        return data[at], at + 1
    if kind == DOUBLE:
        return None, at + 8
    raise ValueError(f"a field of kind {kind}")


def _list(data: memoryview, at: int, depth: int) -> tuple[list[Any], int]:
    if depth > MAX_DEPTH:
        raise ValueError("lists nested too deeply")
    head = data[at]
    at += 1
    size, kind = head >> 4, head & 0x0F
    if size == 15:
        size, at = _varint(data, at)
    if size > len(data) - at:  # every item takes a byte
        raise ValueError("a list is cut off")
    found = []
    for _ in range(size):
        item, at = _value(data, at, kind, depth)
        found.append(item)
    return found, at


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
