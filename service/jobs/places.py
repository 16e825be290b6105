"""Where a job may read and write: under the roots that the owner of the server allows, and nowhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from ebm.data.streams.place import without_credentials
from ebm.data.streams.places import is_url
from ebm.errors import BadInput

if TYPE_CHECKING:
    from service.settings import Settings

# What the suffix of an output says; without one it is a folder of parts.
SUFFIXES = (".parquet", ".csv", ".csv.gz", ".arrow", ".npy")
UPLOADS, RESULTS = "uploads", "results"
LONGEST = 2000
READ_ONLY = ("http", "https")
TIMES_QUOTED = 3  # how often a path may be percent-encoded over and over


class Roots:
    """`EBM_JOB_ROOTS`. Paths are compared once symbolic links and `..` are resolved, URLs by their parts.

    Args:
        roots: folders and URLs.
        data_dir: the server's own, of which nothing is reached by its path, though it may lie under a root.
        no_output: folders that no job writes to, as that of the models.
    """

    def __init__(self, roots: Iterable[str], data_dir: Path, no_output: Iterable[Path] = ()):
        self.names = tuple(roots)
        plain = (_without_file_scheme(root) for root in self.names)
        texts = [root for root in plain if root]
        self._folders = [Path(os.path.realpath(root)) for root in texts if not is_url(root)]
        self._urls = [urlsplit(root) for root in texts if is_url(root)]
        self.data_dir = Path(os.path.realpath(data_dir))
        self._no_output = [Path(os.path.realpath(folder)) for folder in no_output]

    @classmethod
    def of(cls, settings: Settings) -> Roots:
        """As the settings say."""
        models = settings.models_dir
        no_output = [models] if isinstance(models, Path) else []
        return cls(settings.job_roots, settings.data_dir, no_output)

    def input(self, place: str, field: str = "input", *, tell: bool = False) -> str:
        """`place` as the worker is to open it: a URL as it is, a path without links.

        Args:
            field: named by errors.
            tell: let the error for a place outside say which roots there are.

        Raises:
            BadInput: it is not under a root, or a path where there is nothing that can be read.
        """
        found = self._allowed(place, field, tell)
        if is_url(found):
            return found
        try:
            kind = os.stat(found).st_mode
        except OSError:
            raise BadInput(f"{field}: {place}: no such file or folder") from None
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise BadInput(f"{field}: {place}: neither a file nor a folder")
        if not os.access(found, os.R_OK | (os.X_OK if stat.S_ISDIR(kind) else 0)):
            raise BadInput(f"{field}: {place}: cannot be read by the server")
        return found

    def output(self, place: str, field: str = "output", *, tell: bool = False) -> str:
        """The same of a place to write to: below a root, with a suffix that names a format, or none.

        Raises:
            BadInput: also where the folder that is to hold it is not there or cannot be written to.
        """
        found = self._allowed(place, field, tell)
        check_suffix(place, field)
        if is_url(found):
            parts = urlsplit(found)
            if parts.scheme in READ_ONLY or parts.query or parts.fragment:
                raise BadInput(f"{field}: {without_credentials(place)}: cannot be written to")
            if any(_below(root, parts) and _parts(root.path) == _parts(parts.path) for root in self._urls):
                raise BadInput(f"{field}: {place}: is a root itself; name a file or folder below it")
            return found
        path = Path(found)
        if path in self._folders:
            raise BadInput(f"{field}: {place}: is a root itself; name a file or folder below it")
        if any(path.is_relative_to(folder) for folder in self._no_output):
            raise BadInput(f"{field}: {place}: jobs do not write there")
        if not path.parent.is_dir():
            raise BadInput(f"{field}: {place}: the folder that is to hold it does not exist")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise BadInput(f"{field}: {place}: the server cannot write to its folder")
        if path.exists() and path.is_dir() != (not path.suffix):
            raise BadInput(f"{field}: {place}: is a {'folder' if path.is_dir() else 'file'} already")
        return found

    def made_here(self, place: str) -> bool:
        """Whether it is an upload or a result in the data directory, whose place the server chose itself."""
        if is_url(place):
            return False
        path = Path(os.path.realpath(place))
        return any(path.is_relative_to(self.data_dir / name) for name in (UPLOADS, RESULTS))

    def _allowed(self, place: str, field: str, tell: bool) -> str:
        if not place or len(place) > LONGEST or not place.isprintable():
            raise BadInput(f"{field}: neither a path nor a URL")
        plain = _without_file_scheme(place)
        if plain is not None and is_url(plain):
            if _allowed_url(plain, self._urls):
                return plain
        elif plain is not None:
            if not os.path.isabs(plain):
                raise BadInput(f"{field}: {place}: give an absolute path, or a URL")
            path = Path(os.path.realpath(plain))
            inside = any(path.is_relative_to(folder) for folder in self._folders)
            if inside and not path.is_relative_to(self.data_dir):
                return str(path)
        shown = without_credentials(place)
        if not tell:
            raise BadInput(f"{field}: {shown} is not under an allowed root")
        roots = ", ".join(without_credentials(root) for root in self.names) or "none"
        raise BadInput(f"{field}: {shown} is not under an allowed root (EBM_JOB_ROOTS: {roots})")


def check_suffix(place: str, field: str = "output") -> None:
    """Raises BadInput for the name of a file in no format that is written."""
    name = place.rstrip("/").rpartition("/")[2].lower()
    if Path(name).suffix and not name.endswith(SUFFIXES):
        known = ", ".join(SUFFIXES)
        raise BadInput(
            f"{field}: {without_credentials(place)}: must end in {known}, or have no suffix for a folder"
        )


def _without_file_scheme(place: str) -> str | None:
    """A file:// URL as its path; None where it names another host."""
    if place[:7].lower() != "file://":
        return place
    host, slash, path = place[7:].partition("/")
    return "/" + unquote(path) if slash and host in ("", "localhost") and "\0" not in unquote(path) else None


def _allowed_url(url: str, roots: Iterable[SplitResult]) -> bool:
    # fsspec takes "::" for a chain of file systems.
    if "\\" in url or "::" in url or "#" in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme not in READ_ONLY and any(mark in url for mark in "?*[]"):
        return False  # patterns, which object stores have no need of
    path = parts.path
    for _ in range(TIMES_QUOTED):
        path = unquote(path)
    if any(part in (".", "..") for part in path.split("/")) or "%" in path and unquote(path) != path:
        return False
    return any(_below(root, parts) for root in roots)


def _below(root: SplitResult, place: SplitResult) -> bool:
    # urlsplit has made the schemes small. Of host names case says nothing, of buckets it might.
    hosts = (root.netloc, place.netloc)
    if root.scheme in READ_ONLY:
        hosts = (root.netloc.lower(), place.netloc.lower())
    if root.scheme != place.scheme or hosts[0] != hosts[1]:
        return False
    prefix = _parts(root.path)
    return _parts(place.path)[: len(prefix)] == prefix


def _parts(path: str) -> list[str]:
    """Of /a/b/: a, b. Empty names in the middle count: to an object store they are part of the key."""
    return path.removeprefix("/").removesuffix("/").split("/") if path.strip("/") else []
