"""npy and npz files, read without unpickling and without believing their headers."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ebm.data.options import ReadOptions
from ebm.data.table import Table, make_table
from ebm.errors import BadInput

# An npy header is a one-line dict; numpy's own default limit, spelled out.
MAX_HEADER = 10_000
MAX_DIMENSIONS = 8
MAX_EMPTY = 2**31  # a side of an array that holds nothing
PAIRS = (("X", "y"), ("x", "y"), ("images", "labels"), ("data", "target"), ("values", "labels"))


def read_npy(path: Path, options: ReadOptions) -> Table:
    """values (N, ...) from one npy file; labels from `options.labels_path`, another npy file."""
    options.only(path, {"labels_path", "size", "allow_missing"})
    values = _npy_file(path)
    labels = None if options.labels_path is None else _npy_file(Path(options.labels_path))
    return make_table(
        values, path.name, labels=labels, size=options.size, allow_missing=options.allow_missing
    )


def read_npz(path: Path, options: ReadOptions) -> Table:
    """values, labels and groups from the members of one npz file, by key."""
    options.only(path, {"values_key", "label_key", "group", "size", "allow_missing"})
    try:
        with zipfile.ZipFile(path) as archive:
            members = {n.removesuffix(".npy"): n for n in archive.namelist() if n.endswith(".npy")}
            key, label_key = _choose(path, list(members), options)
            values = _member(path, archive, members, key)
            labels = None if label_key is None else _member(path, archive, members, label_key)
            groups = None if options.group is None else _member(path, archive, members, options.group)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise BadInput(f"{path.name}: not a readable npz file: {_line(error)}") from None
    return make_table(
        values,
        path.name,
        labels=labels,
        groups=groups,
        size=options.size,
        allow_missing=options.allow_missing,
    )


def parse_npy(data: bytes, source: str, *, numbers_only: bool = False) -> np.ndarray:
    """The array in the bytes of an npy file, e.g. a request body; a view of these bytes.

    Args:
        numbers_only: refuse all but real numbers of up to 64 bits.

    Raises:
        BadInput: not an npy file, an object array, or a header that claims another size than the data have.
    """
    shape, fortran, dtype, start = _header_of(data[: _header_end(data)], source)
    if numbers_only and (dtype.kind not in "biuf" or dtype.itemsize > 8):
        raise BadInput(f"{source}: dtype {dtype.str!r} is not one of real numbers of up to 64 bits")
    count = _count(shape, dtype, len(data) - start, source)
    array = np.frombuffer(data, dtype, count, start) if dtype.itemsize * count else np.empty(count, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _header_end(data: bytes) -> int:
    """Where the header ends, by its own account; no further than a header may go."""
    two = data[6:7] == b"\x01"  # of version 1 the length has two bytes, of the others four
    length = int.from_bytes(data[8:10] if two else data[8:12], "little")
    return min((10 if two else 12) + length, MAX_HEADER + 20)


@lru_cache(maxsize=256)
def _header_of(start: bytes, source: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """`_header`, and where it ends. Clients send few different ones, and numpy takes longer for one than for the
    numbers behind it."""
    file = io.BytesIO(start)
    return (*_header(file, source), file.tell())


def parse_npy_stream(file: BinaryIO, size: int, source: str) -> np.ndarray:
    """As `parse_npy`, from a file positioned at its start and known to hold `size` bytes."""
    shape, fortran, dtype = _header(file, source)
    count = _count(shape, dtype, size - file.tell(), source)
    claimed = count * dtype.itemsize
    data = file.read(claimed)
    if len(data) != claimed:
        raise BadInput(f"{source}: the npy header claims {claimed} bytes of data, the file holds {len(data)}")
    array = np.frombuffer(data, dtype=dtype) if claimed else np.empty(count, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _header(file: BinaryIO, source: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and type."""
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(file, max_header_size=MAX_HEADER)
        elif version == (2, 0):
            header = np.lib.format.read_array_header_2_0(file, max_header_size=MAX_HEADER)
        else:
            raise ValueError(f"npy format version {version[0]}.{version[1]} is not supported")
    except Exception as error:  # numpy lets SyntaxError, TypeError, KeyError, MemoryError and others through
        raise BadInput(f"{source}: not a readable npy file: {_line(error)}") from None
    shape, _, dtype = header
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None:
        raise BadInput(f"{source}: dtype {_line(dtype)} is not a plain number; objects are never unpickled")
    if len(shape) > MAX_DIMENSIONS or any(length < 0 for length in shape):
        raise BadInput(f"{source}: the npy header claims the impossible shape {str(shape)[:80]}")
    return header


def _count(shape: tuple[int, ...], dtype: np.dtype, held: int, source: str) -> int:
    """How many numbers there are, if that is what the header claims."""
    count = math.prod(shape)  # Python integers: a hostile shape cannot overflow them
    if count * dtype.itemsize != held:
        claimed = count * dtype.itemsize
        raise BadInput(f"{source}: the npy header claims {claimed} bytes of data, the file holds {held}")
    if not held and max(shape, default=0) > MAX_EMPTY:
        raise BadInput(f"{source}: the npy header claims the impossible shape {str(shape)[:80]}")
    return count


def _npy_file(path: Path) -> np.ndarray:
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    with path.open("rb") as file:
        return parse_npy_stream(file, path.stat().st_size, path.name)


def _member(path: Path, archive: zipfile.ZipFile, members: dict[str, str], key: str) -> np.ndarray:
    info = archive.getinfo(members[key])
    with archive.open(info) as file:
        # file_size is only a claim, too: zipfile reads no further, and checks the CRC at the end.
        return parse_npy_stream(cast(BinaryIO, file), info.file_size, f"{path.name}['{key}']")


def _choose(path: Path, keys: list[str], options: ReadOptions) -> tuple[str, str | None]:
    listed = ", ".join(sorted(keys)) or "none"
    for option in ("values_key", "label_key", "group"):
        key = getattr(options, option)
        if key is not None and key not in keys:
            raise BadInput(f"{path.name}: no array '{key}'; arrays: {listed} (option '{option}')")
    if options.values_key is not None:
        return options.values_key, options.label_key
    for values_key, label_key in PAIRS:
        if values_key in keys:
            return values_key, options.label_key or (label_key if label_key in keys else None)
    rest = [key for key in keys if key not in (options.label_key, options.group)]
    if len(rest) == 1:
        return rest[0], options.label_key
    raise BadInput(f"{path.name}: say which array holds the values (values_key); arrays: {listed}")


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
