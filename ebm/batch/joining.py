"""The one file of a run, joined from its parts while later ones are still computed."""

from __future__ import annotations

import uuid
from contextlib import ExitStack, suppress
from typing import Any

from ebm.batch.formats import Kind, append, plain_table, read_part, table_writer
from ebm.batch.journal import Journal, naming_failures
from ebm.batch.work import Part
from ebm.errors import BadInput


class Joining:
    """Parquet or Arrow on this machine. It may fail or be given up at any time: the parts are there all the same.

    Used by one thread at a time.
    """

    def __init__(self, journal: Journal, kind: Kind):
        self.journal = journal
        self.kind: Kind = kind
        self.next = 0  # the part to append
        self._stack = ExitStack()
        self._writer: Any = None
        self._file = journal.place.joinpath(f".joined.{uuid.uuid4().hex[:12]}.tmp")
        self._failed = False

    def add(self, index: int, part: Part) -> None:
        """Append a part that is durable, and before it those that lie on the disk; not where there is a gap."""
        if self._failed:
            return
        try:
            while self.next < index and self.next in self.journal.entries:
                entry = self.journal.entries[self.next]
                self._append(read_part(self.journal.place.joinpath(entry.part), "staged"))
            if self.next == index:
                self._append(part)
        except (OSError, BadInput):
            self.drop()  # a full disk: whoever finishes will say so

    def finish(self, parts: int) -> int | None:
        """The bytes of the file, which now is `assembled.<kind>` in the staging folder; None where it lacks parts."""
        if self._failed or self._writer is None or self.next != parts:
            self.drop()
            return None
        with naming_failures(self._file):
            self._stack.close()
            size = self._file.size()
            self._file.rename_to(self.journal.place.joinpath(f"assembled.{self.kind}"))
        return size

    def drop(self) -> None:
        """Remove what is there of it."""
        self._failed = True
        with suppress(OSError, BadInput):
            self._stack.close()
        with suppress(OSError, BadInput):
            self._file.remove()

    def _append(self, part: Part) -> None:
        assert part.table is not None
        table = plain_table(part.table) if self.kind == "arrow" else part.table
        if self._writer is None:
            file = self._stack.enter_context(self._file.open("xb"))
            self._writer = self._stack.enter_context(table_writer(file, table.schema, self.kind))
        append(self._writer, table)
        self.next += 1
