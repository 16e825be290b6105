"""What a message of an Arrow stream claims, read from its flatbuffer before anything is decompressed.

Layout: Message.fbs and Schema.fbs of the Arrow format (https://arrow.apache.org/docs/format/Columnar.html).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SCHEMA, DICTIONARY, BATCH = 1, 2, 3  # MessageHeader


@dataclass(frozen=True)
class Claim:
    """A message: its kind, and of a batch the rows and the bytes of its buffers once decompressed."""

    kind: int
    rows: int = 0
    decompressed: int = 0
    delta: bool = False


def read_claim(metadata: memoryview, body: memoryview) -> Claim:
    """The claim of one message.

    Raises:
        ValueError, struct.error: not what the format says.
    """
    message = _Table(metadata, _u32(metadata, 0))
    kind = message.byte(1)
    if kind not in (DICTIONARY, BATCH):
        return Claim(kind)
    header = message.table(2)
    delta = kind == DICTIONARY and bool(header.byte(2))
    batch = header.table(1) if kind == DICTIONARY else header
    rows = batch.int64(0)
    if rows < 0:
        raise ValueError(f"a batch of {rows} rows")
    if not batch.at(3):  # not compressed: the buffers are the body itself
        return Claim(kind, rows, 0, delta)
    total = 0
    for offset, length in batch.pairs(2):
        if length == 0:
            continue
        if offset < 0 or length < 8 or offset + length > len(body):
            raise ValueError("a buffer lies outside the body")
        (size,) = struct.unpack_from("<q", body, offset)
        if size < -1:
            raise ValueError(f"a buffer of {size} bytes")
        total += length if size == -1 else size
    return Claim(kind, rows, total, delta)


def _u32(data: memoryview, at: int) -> int:
    return struct.unpack_from("<I", data, at)[0]


class _Table:
    """A table of a flatbuffer: `field` is its number in the schema; one that is left out is 0."""

    def __init__(self, data: memoryview, start: int):
        self.data, self.start = data, start
        self.vtable = start - struct.unpack_from("<i", data, start)[0]
        if self.vtable < 0:
            raise ValueError("a table without fields")
        (self.size,) = struct.unpack_from("<H", data, self.vtable)

    def at(self, field: int) -> int:
        slot = 4 + 2 * field
        if slot + 2 > self.size:
            return 0
        (offset,) = struct.unpack_from("<H", self.data, self.vtable + slot)
        return self.start + offset if offset else 0

    def byte(self, field: int) -> int:
        at = self.at(field)
        return self.data[at] if at else 0

    def int64(self, field: int) -> int:
        at = self.at(field)
        return struct.unpack_from("<q", self.data, at)[0] if at else 0

    def table(self, field: int) -> _Table:
        at = self.at(field)
        if not at:
            raise ValueError("a table is missing")
        return _Table(self.data, at + _u32(self.data, at))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structs of two int64."""
        at = self.at(field)
        if not at:
            return []
        start = at + _u32(self.data, at)
        count = _u32(self.data, start)
        if start + 4 + 16 * count > len(self.data):
            raise ValueError("a list of buffers is cut off")
        return list(struct.iter_unpack("<qq", self.data[start + 4 : start + 4 + 16 * count]))
