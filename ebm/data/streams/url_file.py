"""An open file behind a URL."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

from ebm.data.streams.place import without_credentials
from ebm.data.streams.url_errors import named
from ebm.errors import BadInput


class UrlFile(io.RawIOBase):
    """An open file behind a URL. What fails while it is read or written is BadInput that names the place; a `with`
    block that fails does not leave half a file.

    Args:
        file: as fsspec opened it.
        url, package: as `named`.
    """

    def __init__(self, file: Any, url: str, package: str):
        self.file, self.url, self.package = file, url, package

    def readable(self) -> bool:
        return bool(self.file.readable())

    def writable(self) -> bool:
        return bool(self.file.writable())

    def seekable(self) -> bool:
        # fsspec says so of a file of unknown size, too, which is one long answer.
        return bool(self.file.seekable()) and getattr(self.file, "size", 0) is not None

    def read(self, size: int | None = -1, /) -> bytes:
        parts: list[bytes] = []
        left = -1 if size is None else size
        with named(self.url, self.package):
            # One long answer comes in pieces as they arrive; whoever reads takes few bytes for the end.
            while left and (part := bytes(self.file.read(left))):
                parts.append(part)
                left = left - len(part) if left > 0 else left
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any, /) -> int:
        with named(self.url, self.package):
            return int(self.file.write(data))

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if not self.seekable():
            raise BadInput(
                f"{without_credentials(self.url)}: the server sends this from its beginning only; download it first"
            )
        with named(self.url, self.package):
            return int(self.file.seek(offset, whence))

    def tell(self) -> int:
        return int(self.file.tell())

    def flush(self) -> None:
        """Nothing: what a driver sends before the end may not be smaller than a part of its own."""

    def close(self) -> None:
        if not self.closed:
            super().close()
            with named(self.url, self.package):
                self.file.close()

    def discard(self) -> None:
        """Close without a trace of what was written."""
        if not self.closed:
            super().close()
            with suppress(Exception):
                self.file.discard()
                self.file.closed = True  # else its own destructor writes what is left
            if self.url.startswith("memory://"):  # there as soon as it was opened
                with suppress(FileNotFoundError):
                    self.file.fs.rm(self.file.path)

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None and self.writable():
            self.discard()
        self.close()
