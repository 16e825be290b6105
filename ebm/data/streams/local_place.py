"""Files and folders of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from ebm.data.streams.place import Mode, Place
from ebm.errors import BadInput


class LocalPlace(Place):
    """As `Place`, by plain calls of the operating system."""

    def __init__(self, path: Path | str):
        self.path: Path = Path(path)
        self.url = str(self.path)

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"LocalPlace({self.url!r})"

    @property
    def name(self) -> str:
        # "." and ".." have a name only once they are resolved.
        return self.path.name if self.path.name not in ("", "..") else self.path.resolve().name

    @property
    def parent(self) -> LocalPlace:
        plain = self.path.name not in ("", "..")
        return LocalPlace((self.path if plain else self.path.resolve()).parent)

    def joinpath(self, *names: str) -> LocalPlace:
        return LocalPlace(self.path.joinpath(*names))

    def same_as(self, other: Place) -> bool:
        return other.path is not None and self.path.resolve() == other.path.resolve()

    def open(self, mode: Mode = "rb") -> BinaryIO:
        with self._named():
            return cast(BinaryIO, self.path.open(mode))

    def exists(self) -> bool:
        with self._named():
            return self.path.exists()

    def is_dir(self) -> bool:
        with self._named():
            return self.path.is_dir()

    def size(self) -> int:
        with self._named():
            return self.path.stat().st_size

    def identity(self) -> dict[str, Any]:
        with self._named():
            facts = self.path.stat()
            return {
                "place": str(self.path.resolve()),
                "size": facts.st_size,
                "mtime_ns": facts.st_mtime_ns,
            }

    def iterdir(self) -> Iterator[LocalPlace]:
        with self._named():
            yield from [LocalPlace(path) for path in sorted(self.path.iterdir())]

    def files_below(self) -> Iterator[tuple[str, str]]:
        waiting = [("", self.url)]
        with self._named():
            while waiting:
                above, folder = waiting.pop()
                for entry in os.scandir(folder):
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((f"{above}{entry.name}/", entry.path))
                    elif entry.is_file():
                        facts = entry.stat()
                        yield above + entry.name, f"{facts.st_size} {facts.st_mtime_ns}"

    def mkdirs(self) -> None:
        with self._named():
            self.path.mkdir(parents=True, exist_ok=True)

    def remove(self) -> None:
        with self._named():
            try:
                if self.path.is_dir() and not self.path.is_symlink():
                    shutil.rmtree(self.path)
                else:
                    self.path.unlink()
            except FileNotFoundError:
                pass

    def rename_to(self, other: Place) -> None:
        if other.path is None:
            raise BadInput(f"{self}: cannot be renamed to {other}: one is a URL")
        with self._named():
            _sync(self.path)
            os.replace(self.path, other.path)
            # The name, too, outlives a crash only once its folder is on the disk.
            _sync(other.path.parent)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What the operating system refuses, as BadInput that names the place."""
        try:
            yield
        except FileNotFoundError as error:
            missing = error.filename2 or error.filename or self.path
            raise BadInput(f"{missing}: no such file or folder") from None
        except OSError as error:
            raise BadInput(f"{self}: {error.strerror or type(error).__name__}") from error
        except ValueError as error:  # a null byte in the name
            raise BadInput(f"{self.url!r}: {error}") from None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
