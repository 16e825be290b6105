"""What a file or folder can do, whether it lies on this machine or behind a URL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

Mode = Literal["rb", "wb", "xb"]


class Place(ABC):
    """A file or folder, there or not yet. `str` names it in messages, without credentials.

    All methods raise BadInput with the name of the place where it is missing, refused, or cannot be reached. What is
    written into an opened local file may still fail with OSError, as on a full disk.

    url: what `open_place` takes to find it again.
    path: of a local one; None behind a URL.
    """

    url: str
    path: Path | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of the path."""

    @property
    def suffix(self) -> str:
        """The end of the name in lower case, from the last dot; of `rows.csv.gz` it is `.csv.gz`."""
        parts = self.name.lower().lstrip(".").split(".")[1:]
        return "".join(f".{part}" for part in (parts[-2:] if parts[-1:] == ["gz"] else parts[-1:]))

    @property
    @abstractmethod
    def parent(self) -> Place: ...

    @abstractmethod
    def joinpath(self, *names: str) -> Place:
        """What lies below."""

    def with_name(self, name: str) -> Place:
        """A neighbour in the same folder."""
        return self.parent.joinpath(name)

    @abstractmethod
    def same_as(self, other: Place) -> bool:
        """Whether both are one file, by whatever way it is named."""

    @abstractmethod
    def open(self, mode: Mode = "rb") -> BinaryIO:
        """A binary file. "wb" replaces what is there, "xb" refuses to. A `with` block that fails leaves no file behind
        a URL, and an unfinished one on this machine."""

    @abstractmethod
    def exists(self) -> bool: ...

    @abstractmethod
    def is_dir(self) -> bool: ...

    @abstractmethod
    def size(self) -> int | None:
        """Bytes of a file; None where a server does not say."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """JSON facts of a file that change when its content does: place, size, and time of change or ETag."""

    @abstractmethod
    def iterdir(self) -> Iterator[Place]:
        """What a folder holds, sorted by name."""

    @abstractmethod
    def files_below(self) -> Iterator[tuple[str, str]]:
        """All files of a folder and of the folders in it, in no order: the path below it, with "/", and a text that
        changes when the file does. What begins with a dot is left out, and links to folders are not followed."""

    @abstractmethod
    def mkdirs(self) -> None:
        """Make this folder and those around it, where they are missing. Object stores have none."""

    @abstractmethod
    def remove(self) -> None:
        """Remove a file, or a folder with all it holds. What is not there is no error."""

    @abstractmethod
    def rename_to(self, other: Place) -> None:
        """Move to `other`, of the same kind; a file there is replaced, a folder must not be there, or be empty.

        On this machine at once, and durable when this returns (a file's bytes too; those of files inside a folder are
        the writer's to sync). Behind a URL it is a copy and a removal: file by file, what is there already first.
        """


def without_credentials(url: str) -> str:
    """A URL without user, password, query and fragment: a query may be a signature."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    host, slash, path = rest.partition("/")
    if scheme in ("http", "https"):
        path = path.split("?", 1)[0].split("#", 1)[0]
    return f"{scheme}://{host.rpartition('@')[2].split('?', 1)[0]}{slash}{path}"


def one_line(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
