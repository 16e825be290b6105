"""Files and folders behind URLs, by fsspec."""

from __future__ import annotations

import hashlib
import io
import posixpath
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from typing import Any, BinaryIO, cast

import fsspec
import httpx

from ebm.data.streams.place import Mode, Place, without_credentials
from ebm.data.streams.url_errors import named
from ebm.data.streams.url_file import UrlFile
from ebm.errors import BadInput

# What may be opened, and what must be installed for it. fsspec knows many more, some of which lead back to local files.
DRIVERS = {
    "memory": "fsspec",
    "s3": "'ebm-service[s3]'",
    "s3a": "'ebm-service[s3]'",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "http": "aiohttp",
    "https": "aiohttp",
}
TIMEOUT = 60.0  # seconds without an answer from an http server
READ_ONLY = ("http", "https")
# Read here and there, in pieces of the reader's choice: what fsspec reads ahead would be for nothing.
SCATTERED = (".parquet", ".pq")
# What file systems call a fact that changes with the content, the surest first.
VERSIONS = ("ETag", "etag", "content_md5", "Content-MD5", "md5Hash", "generation", "VersionId")
TIMES = ("LastModified", "last_modified", "Last-Modified", "mtime", "modified", "updated", "created")


class UrlPlace(Place):
    """As `Place`. Credentials come from where the driver looks for them: its environment variables and files.

    Raises:
        BadInput: a kind of URL that is not known, or whose driver is not installed.
    """

    def __init__(self, url: str):
        scheme = url.partition("://")[0].lower()
        self.url, self.scheme = scheme + url[len(scheme) :], scheme
        if scheme not in DRIVERS:
            known = ", ".join(f"{name}://" for name in ("s3", "gs", "abfs", "https", "file"))
            raise BadInput(
                f"{without_credentials(url)}: {scheme}:// is not a kind of URL that is read ({known})"
            )
        with self._named():
            # No listings are kept: another process may write to the same folder.
            self.fs: Any = fsspec.filesystem(scheme, use_listings_cache=False, **_options(scheme))
            self.key = str(self.fs._strip_protocol(self.url))

    def __str__(self) -> str:
        return without_credentials(self.url)

    def __repr__(self) -> str:
        return f"UrlPlace({str(self)!r})"

    @property
    def name(self) -> str:
        return posixpath.basename(str(self).rstrip("/"))

    @property
    def parent(self) -> UrlPlace:
        head, query = self._split()
        return UrlPlace(posixpath.dirname(head) + query)

    def joinpath(self, *names: str) -> UrlPlace:
        head, query = self._split()
        return UrlPlace("/".join([head, *(name.strip("/") for name in names)]) + query)

    def _split(self) -> tuple[str, str]:
        """The URL up to the query, and the query, which holds for its neighbours, too."""
        head, mark, query = self.url.partition("?") if self.scheme in READ_ONLY else (self.url, "", "")
        return head.rstrip("/"), mark + query

    def same_as(self, other: Place) -> bool:
        if not isinstance(other, UrlPlace) or type(self.fs) is not type(other.fs):
            return False
        return without_credentials(self.key) == without_credentials(other.key)

    def open(self, mode: Mode = "rb") -> BinaryIO:
        with self._named():
            self._check_writable(mode != "rb")
            if mode == "xb" and self.exists():
                raise BadInput(f"{self}: is there already")
            if self.scheme == "memory" and mode == "rb":
                # Its files share one position among all who read them.
                return io.BytesIO(self.fs.open(self.key).getvalue())
            options: dict[str, Any] = {}
            if mode == "rb" and self.scheme in READ_ONLY and not self._sends_ranges:
                options["block_size"] = 0  # as one long answer
            elif mode == "rb" and self.suffix in SCATTERED:
                options["cache_type"] = "none"
            file = self.fs.open(self.key, "rb" if mode == "rb" else "wb", **options)
            return cast(BinaryIO, UrlFile(file, self.url, DRIVERS[self.scheme]))

    @cached_property
    def _sends_ranges(self) -> bool:
        """Whether the server sends a part of a file when asked for one."""
        try:
            first = {"Range": "bytes=0-0"}
            with httpx.stream(
                "GET", self.url, headers=first, follow_redirects=True, timeout=TIMEOUT
            ) as answer:
                # 416: the file is empty. What else is wrong, opening it will show.
                return answer.status_code in (206, 416)
        except (httpx.HTTPError, httpx.InvalidURL):
            return True

    def exists(self) -> bool:
        with self._named():
            return bool(self.fs.exists(self.key))

    def is_dir(self) -> bool:
        if self.scheme in READ_ONLY:  # no listings: a page of links is not a folder
            return False
        with self._named():
            return bool(self.fs.isdir(self.key))

    def size(self) -> int | None:
        size = self._info().get("size")
        return None if size is None else int(size)

    def identity(self) -> dict[str, Any]:
        info = self._info()
        facts = {"place": str(self), **_facts(info)}
        if not {"etag", "modified"} & facts.keys():
            facts["query"] = hashlib.sha256(self._split()[1].encode()).hexdigest()[:16]
        return facts

    def iterdir(self) -> Iterator[UrlPlace]:
        if self.scheme in READ_ONLY:
            raise BadInput(f"{self}: the files behind an http URL cannot be listed; name one")
        with self._named():
            names = sorted(
                {posixpath.basename(str(key).rstrip("/")) for key in self.fs.ls(self.key, detail=False)}
            )
        # Object stores may list the folder itself, as an empty name.
        yield from (self.joinpath(name) for name in names if name)

    def files_below(self) -> Iterator[tuple[str, str]]:
        if self.scheme in READ_ONLY:
            raise BadInput(f"{self}: the files behind an http URL cannot be listed; name one")
        with self._named():
            found = self.fs.find(self.key, detail=True)
        above = self.key.rstrip("/") + "/"
        for key, info in found.items():
            below = key.removeprefix(above)
            if key.startswith(above) and below and not any(part.startswith(".") for part in below.split("/")):
                yield below, " ".join(map(str, _facts(info).values()))

    def mkdirs(self) -> None:
        with self._named():
            self._check_writable()
            self.fs.makedirs(self.key, exist_ok=True)

    def remove(self) -> None:
        with self._named():
            self._check_writable()
            with suppress(FileNotFoundError):
                self.fs.rm(self.key, recursive=bool(self.fs.isdir(self.key)))

    def rename_to(self, other: Place) -> None:
        if not isinstance(other, UrlPlace) or other.scheme != self.scheme:
            raise BadInput(f"{self}: cannot be renamed to {other}: they lie on different systems")
        with self._named():
            self._check_writable()
            if self.fs.isdir(self.key):
                if other.is_dir() and self.fs.find(other.key):
                    raise BadInput(f"{other}: is there already")
                # File by file: file systems differ in what a copy onto a folder means.
                for key in sorted(self.fs.find(self.key)):
                    self.fs.mv(key, other.key.rstrip("/") + key[len(self.key.rstrip("/")) :])
                with suppress(FileNotFoundError):
                    self.fs.rm(self.key, recursive=True)
            else:
                self.fs.mv(self.key, other.key)

    def _check_writable(self, wanted: bool = True) -> None:
        if wanted and self.scheme in READ_ONLY:
            raise BadInput(f"{self}: an http URL is only read")

    def _info(self) -> dict[str, Any]:
        with self._named():
            return dict(self.fs.info(self.key))

    def _named(self) -> AbstractContextManager[None]:
        return named(self.url, DRIVERS[self.scheme])


def _options(scheme: str) -> dict[str, Any]:
    """Of a file system: http gives up after five minutes in all by default, be it ever so busy."""
    if scheme not in READ_ONLY:
        return {}
    import aiohttp

    return {
        "client_kwargs": {
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=TIMEOUT)
        }
    }


def _facts(info: dict[str, Any]) -> dict[str, Any]:
    """JSON facts that change when the file does, of what a driver says."""
    facts: dict[str, Any] = {"size": info.get("size")}
    for label, keys in (("etag", VERSIONS), ("modified", TIMES)):
        value = next((info[key] for key in keys if info.get(key) is not None), None)
        if value is not None:
            facts[label] = str(value)
    return facts
