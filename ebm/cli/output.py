"""Files that appear whole or not at all: written beside, then renamed."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ebm.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


BATCH = 65_536  # rows turned into text at a time


@contextmanager
def beside(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that replaces `path` when the block ends well, and leaves no trace when it does not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_table(table: pa.Table, path: Path | None) -> None:
    """Write as Parquet or CSV by the suffix of `path`; CSV to stdout where it is None."""
    if path is None:
        _write_csv(table, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with beside(path) as file:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            pq.write_table(table, file)
        else:
            _write_csv(table, file)


def write_npy(values: np.ndarray, path: Path) -> None:
    """Write one array as npy."""
    import numpy as np

    with beside(path) as file:
        np.save(file, values, allow_pickle=False)


def _write_csv(table: pa.Table, file: IO[bytes]) -> None:
    """Arrow's own writer puts every text cell in quotes; this one only those that need it (RFC 4180)."""
    import pyarrow.compute

    pc: Any = pyarrow.compute  # its functions are made at run time
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(table.column_names)
    file.write(header.getvalue().encode())
    for batch in table.to_batches(max_chunksize=BATCH):
        cells = [_as_text(batch.column(i), name) for i, name in enumerate(table.column_names)]
        lines = pc.binary_join_element_wise(*cells, ",")
        file.write(("\n".join(lines.to_pylist()) + "\n").encode())


def _as_text(column: pa.Array, name: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    try:
        text = pc.fill_null(pc.cast(column, pa.string()), "")
    except pa.ArrowException:
        raise BadInput(
            f"column '{name}' of type {column.type} cannot be written as CSV; use .parquet"
        ) from None
    if pa.types.is_primitive(column.type):
        return text
    quoted = pc.replace_substring(text, '"', '""')
    quoted = pc.binary_join_element_wise('"', quoted, '"', "")
    return pc.if_else(pc.match_substring_regex(text, '[",\r\n]'), quoted, text)
