"""The idx format of the MNIST files (LeCun, Cortes & Burges 1998), plain or gzipped.

Two zero bytes, a type code, the number of dimensions, each dimension as big-endian uint32, then the data,
big-endian, row-major.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ebm.data.options import ReadOptions
from ebm.data.table import Table, make_table
from ebm.errors import BadInput

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path, options: ReadOptions) -> Table:
    """values from one idx file; labels from `options.labels_path`, another idx file."""
    options.only(path, {"labels_path", "size"})
    values = _idx_file(path)
    labels = None if options.labels_path is None else _idx_file(Path(options.labels_path))
    return make_table(values, path.name, labels=labels, size=options.size)


def _idx_file(path: Path) -> np.ndarray:
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    try:
        with cast(BinaryIO, gzip.open(path) if path.name.endswith(".gz") else path.open("rb")) as file:
            return _parse(file, path.name)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path.name}: not a readable idx file: {error}") from None


def _parse(file: BinaryIO, source: str) -> np.ndarray:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in DTYPES or not 1 <= head[3] <= 4:
        raise BadInput(f"{source}: not an idx file (bad first four bytes)")
    sizes = file.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise BadInput(f"{source}: the idx header is cut short")
    shape = struct.unpack(f">{head[3]}I", sizes)
    dtype = np.dtype(DTYPES[head[2]])
    claimed = dtype.itemsize
    for length in shape:
        claimed *= length
    data = _read_up_to(file, claimed + 1)
    if len(data) != claimed:
        held = "more" if len(data) > claimed else f"only {len(data)}"
        raise BadInput(f"{source}: the idx header claims {claimed} bytes of data, the file holds {held}")
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _read_up_to(file: BinaryIO, limit: int) -> bytes:
    """Read in pieces, so that memory follows what the file holds and not what its header claims."""
    pieces: list[bytes] = []
    while limit > 0 and (piece := file.read(min(limit, 1 << 20))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)
