"""Parquet and Arrow files, opened alike: the schema first, then the columns that are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ebm.errors import BadInput

ARROW = (".arrow", ".feather")


class Columnar(Protocol):
    """An open file. `read` gives the columns named, in this order."""

    @property
    def schema(self) -> pa.Schema: ...

    def read(self, columns: list[str]) -> pa.Table: ...


class _Parquet:
    def __init__(self, file: pq.ParquetFile):
        self.file, self.schema = file, file.schema_arrow

    def read(self, columns: list[str]) -> pa.Table:
        return self.file.read(columns=columns).select(columns)


class _Arrow:
    """Arrow IPC: a file (as Feather 2 is) or a stream (as the Hugging Face library writes)."""

    def __init__(self, source: pa.MemoryMappedFile):
        try:
            self.reader = pa.ipc.open_file(source)
        except pa.ArrowInvalid:
            source.seek(0)
            self.reader = pa.ipc.open_stream(source)
        self.schema = self.reader.schema

    def read(self, columns: list[str]) -> pa.Table:
        table = self.reader.read_all().select(columns)
        table.validate(full=True)  # offsets that point elsewhere must not be followed
        return table


@contextmanager
def open_columns(path: Path) -> Iterator[Columnar]:
    """The columns of a Parquet or Arrow file.

    Raises:
        BadInput: not such a file, or damaged, be it found here or by whoever reads.
    """
    arrow = path.suffix.lower() in ARROW
    try:
        if arrow:
            with pa.memory_map(str(path)) as source:
                yield _Arrow(source)
        else:
            with pq.ParquetFile(path) as file:
                yield _Parquet(file)
    except (OSError, pa.ArrowException) as error:
        line = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(
            f"{path.name}: not a readable {'Arrow' if arrow else 'Parquet'} file: {line}"
        ) from None
