"""Parts of an output as bytes and back, by format."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ebm.batch.csv_text import csv_header, csv_lines
from ebm.batch.work import Part
from ebm.data import parse_npy
from ebm.data.streams.place import Place

Kind = Literal["parquet", "csv", "csv.gz", "arrow", "npy", "staged"]  # staged: Arrow that is read once more
SUFFIXES: dict[str, Kind] = {
    ".parquet": "parquet", ".csv": "csv", ".csv.gz": "csv.gz", ".arrow": "arrow", ".npy": "npy",
}  # fmt: skip
LEVEL = 5  # of gzip: 6, its usual one, takes half as long again for 1% less


def write_part(file: BinaryIO, part: Part, kind: Kind, header: bool = True) -> None:
    """Args: header: of CSV, the line of names.

    Raises:
        BadInput: a column that the format cannot hold.
    """
    if kind == "npy":
        assert part.values is not None
        np.lib.format.write_array(file, np.ascontiguousarray(part.values), allow_pickle=False)
        return
    table = part.table
    assert table is not None
    if kind in ("csv", "csv.gz"):
        with _gzip(file, kind == "csv.gz") as text:
            if header:
                text.write(csv_header(table.column_names))
            for lines in csv_lines(table):
                text.write(lines)
        return
    with table_writer(file, table.schema, kind) as writer:
        append(writer, table)


@contextmanager
def table_writer(file: BinaryIO, schema: pa.Schema, kind: Kind) -> Iterator[Any]:
    """What writes tables of one schema one after the other into a Parquet or Arrow file."""
    if kind == "parquet":
        # A dictionary of numbers that hardly repeat only costs; nested columns are left to the default.
        texts: Any = [field.name for field in schema if not _is_number(field.type)]
        with pq.ParquetWriter(file, schema, use_dictionary=texts or False) as writer:
            yield writer
        return
    options = pa.ipc.IpcWriteOptions(compression="lz4" if kind == "staged" else None, use_threads=False)
    with pa.ipc.new_file(pa.PythonFile(file, "w"), schema, options=options) as writer:
        yield writer


def append(writer: Any, table: pa.Table) -> None:
    """The rows of one part. The same rows give the same bytes, however they were read."""
    table = table.unify_dictionaries().combine_chunks()  # an Arrow file takes one dictionary for each column
    if isinstance(writer, pq.ParquetWriter):
        writer.write_table(table, row_group_size=max(len(table), 1))
    else:
        writer.write_table(table)


def read_part(place: Place, kind: Kind) -> Part:
    """A part that was staged as Arrow or npy."""
    with place.open("rb") as file:
        if kind == "npy":
            return Part(values=np.array(parse_npy(file.read(), place.name)))
        return Part(table=pa.ipc.open_file(pa.py_buffer(file.read())).read_all())


def plain_table(table: pa.Table) -> pa.Table:
    """Without dictionaries, which differ from part to part, and of which an Arrow file takes only one."""
    for j, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column = table.column(j).cast(field.type.value_type)
            table = table.set_column(j, field.with_type(field.type.value_type), column)
    return table


def join_parts(file: BinaryIO, parts: Iterator[Part], kind: Kind, rows: int) -> None:
    """One file of parts that were staged as Arrow or npy; at least one."""
    first = next(parts)
    if kind == "npy":
        assert first.values is not None
        shape = (rows, *first.values.shape[1:])
        header = {"descr": first.values.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        _each(first, parts, lambda part: file.write(np.ascontiguousarray(part.values).tobytes()))
    elif kind in ("csv", "csv.gz"):
        assert first.table is not None
        with _gzip(file, kind == "csv.gz") as text:
            text.write(csv_header(first.table.column_names))
            _each(first, parts, lambda part: text.writelines(csv_lines(part.table)))
    else:
        assert first.table is not None
        with table_writer(file, first.table.schema, kind) as writer:
            _each(first, parts, lambda part: append(writer, part.table))


def _each(first: Part, others: Iterator[Part], do: Any) -> None:
    do(first)
    del first  # not two in memory
    for part in others:
        do(part)


@contextmanager
def _gzip(file: BinaryIO, wanted: bool) -> Iterator[Any]:
    if not wanted:
        yield file
        return
    # No time in it: the same rows give the same bytes.
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0, filename="") as text:
        yield text


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
