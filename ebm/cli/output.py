"""Files that appear whole or not at all: written beside, then renamed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


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
        write_csv(table, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with beside(path) as file:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            pq.write_table(table, file)
        else:
            write_csv(table, file)


def write_npy(values: np.ndarray, path: Path) -> None:
    """Write one array as npy."""
    import numpy as np

    with beside(path) as file:
        np.save(file, values, allow_pickle=False)


def write_csv(table: pa.Table, file: IO[bytes], header: bool = True) -> None:
    """Rows as CSV, under a line of names."""
    from ebm.batch.csv_text import csv_header, csv_lines

    if header:
        file.write(csv_header(table.column_names))
    for lines in csv_lines(table):
        file.write(lines)
