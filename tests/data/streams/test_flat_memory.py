"""Memory does not grow with the file, however it is laid out."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

READ = """
import sys
from ebm.data.streams import open_source
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
rows, first = 0, None
for i, block in enumerate(open_source(sys.argv[1]).blocks(100_000)):
    rows += len(block)
    if i == 5:
        first = resident()
print(rows, resident() - first)
"""


def written(folder: Path, kind: str) -> tuple[Path, int]:
    """A file of some gigabytes once it is in memory, and its number of rows."""
    n, columns = 20_000_000, 6
    path = folder / f"rows.{kind}"
    part = pa.table({f"x{i}": np.random.default_rng(i).normal(size=500_000) for i in range(columns)})
    if kind == "parquet":  # one row group holds everything
        part = pa.table({name: part[name].combine_chunks().slice(0, 1000) for name in part.column_names})
        pq.write_table(pa.concat_tables([part] * (n // 1000)).combine_chunks(), path, row_group_size=n)
    elif kind == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, part.schema) as writer:
            for _ in range(n // 500_000):
                writer.write_table(part)
    elif kind == "npy":
        array = np.lib.format.open_memmap(path, "w+", np.float32, (n, columns))
        array[:] = 1
        array.flush()
    else:
        n = 3_000_000
        text = b"".join(b"%d,%r,abc\n" % (i, i / 7) if i else b"a,b,c\n" for i in range(100_000))
        text = text[text.index(b"\n") + 1 :]
        with gzip.open(path, "wb", 1) if kind == "csv.gz" else path.open("wb") as file:
            file.write(b"a,b,c\n")
            for _ in range(n // 100_000):
                file.write(text)
        n = n // 100_000 * 99_999
    return path, n


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "arrow", "npy", "csv", "csv.gz"])
def test_memory_is_flat(tmp_path: Path, kind: str) -> None:
    path, n = written(tmp_path, kind)
    ended = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True, timeout=170
    )
    rows, grown = map(int, ended.stdout.split())
    path.unlink()
    assert rows == n
    assert grown < 150e6
