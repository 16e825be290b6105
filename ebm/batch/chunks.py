"""The chunks of a source: neighbouring rows that are read, computed and made durable together."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from ebm.batch.journal import Entry
from ebm.data.streams import START, Block, Source


def missing(source: Source, rows: int, done: Mapping[int, Entry]) -> Generator[tuple[int, Block], None, int]:
    """The chunks that are not `done`, in order, each with its number; returns how many there are in all.

    Reading goes on where the last durable chunk ended, without another look at what lies before.
    """
    index, start = 0, START
    while True:
        while index in done:
            start = done[index].end
            index += 1
        for block in source.blocks(rows, start):
            if not len(block):
                continue
            yield index, block
            index, start = index + 1, block.end
            if index in done:
                break
        else:
            return index


def all_alike(block: Block) -> bool:
    """Whether no row could be read, and for one reason but for their numbers, as a wrong number of cells."""
    reasons = {one.reason.replace(str(one.row), "", 1) for one in block.bad}
    return len(block.bad) == len(block) and len(reasons) == 1
