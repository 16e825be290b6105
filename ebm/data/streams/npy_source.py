"""npy files and the members of npz files: rows are read from where the header says they lie, never all at once.

An npz member in column order that is compressed cannot be read by rows: it is read whole.
"""

from __future__ import annotations

import math
import os
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import numpy as np

from ebm.data.arrays import _choose, _count, _header
from ebm.data.options import ReadOptions
from ebm.data.streams.place import Place
from ebm.data.streams.protocol import Mark
from ebm.data.streams.source import Piece, Reader, StreamSource
from ebm.errors import BadInput

PIECE_BYTES = 1 << 26  # read at a time


class NpySource(StreamSource):
    """Real numbers (N, d), (N, H, W) or (N, H, W, C), of the type they are stored in.

    Args:
        key: of an npz file: which array; None for what `ebm.data.read` takes.

    Raises:
        BadInput: no such file, objects, an impossible shape, or a header that claims what the file does not hold.
    """

    def __init__(self, place: Place, key: str | None = None):
        super().__init__(place)
        self.zipped = place.name.lower().endswith(".npz")
        self.kind = "npz" if self.zipped else "npy"
        self.member: str | None = None
        with self.named(), ExitStack() as stack:
            if self.zipped:
                self._find_member(key)
            file, size = self._opened(stack)
            self.shape, self.fortran, dtype = _header(file, self.label)
            self.begin = file.tell()
            if dtype.kind not in "biuf" or dtype.itemsize > 8:
                raise BadInput(
                    f"{self.label}: dtype {dtype.str!r} is not one of real numbers of up to 64 bits"
                )
            if len(self.shape) not in (2, 3, 4) or 0 in self.shape[1:]:
                wanted = "(rows, columns), (N, H, W) or (N, H, W, C)"
                raise BadInput(f"{self.label}: shape {self.shape}, expected {wanted}")
            if size is not None:
                _count(self.shape, dtype, size - self.begin, self.label)
            self.dtype = dtype
            # A compressed member, or a server that sends from the start only, is read from the start.
            self.random_access = file.seekable() and not self.packed
        self.n_rows = self.shape[0]
        self.row_bytes = math.prod(self.shape[1:]) * dtype.itemsize

    @property
    def label(self) -> str:
        return self.name if self.member is None else f"{self.name}['{self.member}']"

    def reader(self, start: Mark, rows: int) -> Reader:
        return _NpyReader(self, start.row)

    def _find_member(self, key: str | None) -> None:
        with ExitStack() as stack:
            archive = self._archive(stack)
            names = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
            self.member, _ = _choose(Path(self.name), list(names), ReadOptions(values_key=key))
            self.info = archive.getinfo(names[self.member])

    @property
    def packed(self) -> bool:
        return self.member is not None and self.info.compress_type != zipfile.ZIP_STORED

    def _archive(self, stack: ExitStack) -> zipfile.ZipFile:
        return stack.enter_context(zipfile.ZipFile(stack.enter_context(self.place.open())))

    def _opened(self, stack: ExitStack) -> tuple[Any, int | None]:
        """A file at the start of the npy header, and its size, where that is known; closed by `stack`."""
        if self.member is None:
            return stack.enter_context(self.place.open()), self.place.size()
        return stack.enter_context(self._archive(stack).open(self.info)), self.info.file_size


class _NpyReader(Reader):
    def __init__(self, source: NpySource, row: int):
        self.source, self.mark = source, Mark(row)
        self.whole: bytes | None = None
        with ExitStack() as stack:
            self.file, _ = source._opened(stack)
            if source.fortran and not source.random_access:
                self.file.read(source.begin)
                self.whole = self._read(source.shape[0] * source.row_bytes)
            elif not source.fortran:
                self._go_to(source.begin + row * source.row_bytes)
            self.stack = stack.pop_all()

    def take(self, n: int) -> Piece | None:
        source, row = self.source, self.mark.row
        n = min(n, source.shape[0] - row, max(PIECE_BYTES // source.row_bytes, 1))
        if n <= 0:
            return None
        if source.fortran:
            values = self._columns(row, n)
        else:
            values = np.frombuffer(self._read(n * source.row_bytes), source.dtype).reshape(
                n, *source.shape[1:]
            )
        self.mark = Mark(row + n)
        # Native byte order, which torch and Arrow ask for.
        return Piece(n, values=values.astype(source.dtype.newbyteorder("="), copy=False))

    def _columns(self, row: int, n: int) -> np.ndarray:
        """Some rows of an array whose first axis runs fastest: a strip of each of its columns."""
        source, size = self.source, self.source.dtype.itemsize
        height, width = source.shape[0], source.row_bytes // size
        strips = np.empty((width, n), source.dtype)
        for i, strip in enumerate(strips):
            at = (i * height + row) * size
            if self.whole is not None:
                part = self.whole[at : at + n * size]
            else:
                self._go_to(source.begin + at)
                part = self._read(n * size)
            strip[:] = np.frombuffer(part, source.dtype)
        return np.ascontiguousarray(strips.T.reshape((n, *source.shape[1:]), order="F"))

    def _go_to(self, offset: int) -> None:
        if self.file.seekable():
            self.file.seek(offset, os.SEEK_SET)
            return
        while offset > 0 and (part := self.file.read(min(offset, PIECE_BYTES))):
            offset -= len(part)

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        left = size
        while left and (part := self.file.read(min(left, PIECE_BYTES))):
            parts.append(part)
            left -= len(part)
        if left:
            row = self.mark.row
            raise BadInput(f"{self.source.label}: row {row}: the data end before the header says so", row=row)
        return cast(bytes, parts[0]) if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        self.stack.close()
