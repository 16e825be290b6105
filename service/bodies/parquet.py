"""Parquet bodies: what the file claims, and what its pages claim, is checked before a page is decompressed."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from ebm.errors import BadInput
from service.bodies import parquet_pages
from service.bodies.body import too_large
from service.bodies.limits import Limits
from service.bodies.tables import choose, line, require_modest, require_simple
from service.bodies.takes import Takes

SOURCE = "the Parquet body"
MAGIC = b"PAR1"
MAX_FOOTER = 2**20  # its parts take some hundred times their size in memory
MAX_ROW_GROUPS = 10_000


def read_parquet(body: bytes, wanted: Takes, limits: Limits, *, ignore_unknown: bool = False) -> pa.Table:
    """The columns that the model takes, in its order.

    Raises:
        BadInput: no Parquet, damaged, or columns that do not fit. Problem: 413, 422 over a limit.
    """
    _check_footer(body)
    try:
        options = {
            "pre_buffer": False,
            "thrift_string_size_limit": MAX_FOOTER,
            "thrift_container_size_limit": 100_000,
        }
        with pq.ParquetFile(pa.BufferReader(body), **options) as file:
            rows = _rows(file.metadata)
            limits.check_rows(rows)
            schema = file.schema_arrow
            flat = [file.schema.column(i).path for i in range(file.metadata.num_columns)]
        names = choose(schema.names, wanted, named=True, ignore_unknown=ignore_unknown, source=SOURCE)
        fields = [schema.field(name) for name in names]
        require_simple(fields, SOURCE)
        leaves = [flat.index(name) for name in names]
        _check_pages(body, file.metadata, leaves, limits)
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


def _check_footer(body: bytes) -> None:
    if len(body) < 12 or not body.startswith(MAGIC) or not body.endswith(MAGIC):
        raise BadInput(f"{SOURCE} is not a readable file: it does not begin and end with PAR1")
    size = int.from_bytes(body[-8:-4], "little")
    if size > MAX_FOOTER:
        raise BadInput(f"{SOURCE} has metadata of {size} bytes, more than {MAX_FOOTER}")


def _rows(metadata: pq.FileMetaData) -> int:
    if metadata.num_row_groups > MAX_ROW_GROUPS:
        raise BadInput(f"{SOURCE} has {metadata.num_row_groups} row groups")
    counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    if any(count < 0 for count in counts) or sum(counts) != metadata.num_rows:
        raise BadInput(f"{SOURCE} claims {metadata.num_rows} rows, its row groups {sum(counts)}")
    return metadata.num_rows


def _check_pages(body: bytes, metadata: pq.FileMetaData, leaves: list[int], limits: Limits) -> None:
    data, total = memoryview(body), 0
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        for leaf in leaves:
            column = group.column(leaf)
            start = column.data_page_offset
            if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
                start = column.dictionary_page_offset
            end = start + column.total_compressed_size
            if start < 4 or end < start or end > len(body):
                raise ValueError(f"column {leaf} lies outside the body")
            for page in parquet_pages.pages(data, start, end):
                total += page.uncompressed
                if total > limits.decompressed:
                    raise too_large(limits.decompressed, "max_decompressed_bytes", "the decompressed body")
                _check_page(page, limits)


def _check_page(page: parquet_pages.Page, limits: Limits) -> None:
    if page.encoding in (parquet_pages.DELTA_LENGTH_BYTE_ARRAY, parquet_pages.DELTA_BYTE_ARRAY):
        raise BadInput(f"{SOURCE} has pages in a delta encoding of text; write it plain or as a dictionary")
    most = page.uncompressed if page.kind == parquet_pages.DICTIONARY else limits.rows
    if not 0 <= page.values <= most:
        raise ValueError(f"a page claims {page.values} values")
