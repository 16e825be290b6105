"""Parquet bodies: what the file claims, and what its pages claim, is checked before a page is decompressed."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from ebm.errors import BadInput
from service.bodies import parquet_claims
from service.bodies.body import too_large
from service.bodies.limits import Limits
from service.bodies.tables import choose, line, require_modest, require_simple
from service.bodies.takes import Takes

SOURCE = "the Parquet body"
MAX_FOOTER = 2**19  # its parts take some hundred times their size in memory
MAX_LIST = 100_000  # columns, row groups


def read_parquet(body: bytes, wanted: Takes, limits: Limits, *, ignore_unknown: bool = False) -> pa.Table:
    """The columns that the model takes, in its order.

    Raises:
        BadInput: no Parquet, damaged, or columns that do not fit. Problem: 413, 422 over a limit.
    """
    try:
        if (size := parquet_claims.footer_size(body)) > MAX_FOOTER:
            raise BadInput(f"{SOURCE} has metadata of {size} bytes, more than {MAX_FOOTER}")
        groups = []
        rows = 0
        for group in parquet_claims.groups(body):
            rows += group.rows
            limits.check_rows(rows)
            groups.append(group)
        options = {
            "pre_buffer": False,
            "thrift_string_size_limit": MAX_FOOTER,
            "thrift_container_size_limit": MAX_LIST,
        }
        with pq.ParquetFile(pa.BufferReader(body), **options) as file:
            schema = file.schema_arrow
        names = choose(schema.names, wanted, named=True, ignore_unknown=ignore_unknown, source=SOURCE)
        fields = [schema.field(name) for name in names]
        require_simple(fields, SOURCE)
        _check_pages(body, groups, set(names), limits)
        # Text stays a dictionary where it is one: few bytes may stand for very many.
        texts = [f.name for f in fields if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        with pq.ParquetFile(pa.BufferReader(body), read_dictionary=texts, **options) as file:
            table = file.read(columns=names, use_threads=False).select(names)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, MemoryError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{SOURCE} is not a readable file: {line(error)}") from None
    if table.num_rows != rows:
        raise BadInput(f"{SOURCE} claims {rows} rows and holds {table.num_rows}")
    require_modest(table, limits.decompressed)
    return table


def _check_pages(body: bytes, groups: list[parquet_claims.Group], names: set[str], limits: Limits) -> None:
    total = 0
    for group in groups:
        chunks = [chunk for chunk in group.chunks if chunk.path in names]
        if len(chunks) != len(names):
            raise ValueError("a row group lacks a column")
        for chunk in chunks:
            held = 0
            for page in parquet_claims.pages(body, chunk):
                held += page.values if page.kind in (parquet_claims.DATA, parquet_claims.DATA_V2) else 0
                total += page.uncompressed
                if total > limits.decompressed:
                    raise too_large(limits.decompressed, "max_decompressed_bytes", "the decompressed body")
                _check_page(page, limits)
            if held != group.rows:  # columns that are not nested have a value, or a null, a row
                raise ValueError(f"it claims {group.rows} rows, column {chunk.path[:80]!r} has {held}")


def _check_page(page: parquet_claims.Page, limits: Limits) -> None:
    if page.encoding in (parquet_claims.DELTA_LENGTH_BYTE_ARRAY, parquet_claims.DELTA_BYTE_ARRAY):
        raise BadInput(f"{SOURCE} has pages in a delta encoding of text; write it plain or as a dictionary")
    most = page.uncompressed if page.kind == parquet_claims.DICTIONARY else limits.rows
    if page.values > most:
        raise ValueError(f"a page claims {page.values} values")
