"""From what a user writes, a path or a URL, to a `Place`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from ebm.data.streams.local_place import LocalPlace
from ebm.data.streams.place import Place
from ebm.data.streams.url_place import UrlPlace
from ebm.errors import BadInput

__all__ = ["Place", "is_url", "open_place"]

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether it is a URL, file:// included. A Path never is."""
    return isinstance(place, str) and SCHEME.match(place) is not None


def open_place(place: str | os.PathLike[str] | Place) -> Place:
    """A path, or a URL: file://, memory://, s3://, gs://, abfs://; http:// and https:// are only read.

    Nothing is opened yet, and it need not be there.

    Raises:
        BadInput: an unknown kind of URL, or one whose driver is not installed; names the package.
    """
    if isinstance(place, Place):
        return place
    if not is_url(place):
        return LocalPlace(Path(place))
    text = str(place)
    if text[:7].lower() == "file://":
        host, slash, path = text[7:].partition("/")
        if host not in ("", "localhost") or not slash:
            raise BadInput(f"{text}: a file:// URL is file:///path")
        return LocalPlace(Path("/" + unquote(path)))
    return UrlPlace(text)
