"""Which store a setting means."""

from __future__ import annotations

from pathlib import Path

from service.registry.remote import Remote
from service.registry.store import Folder, Store


def open_store(models: Path | str, cache_dir: Path | None = None) -> Store:
    """The store of a path, or of a URL that fsspec knows.

    Raises:
        BadConfig: the URL's protocol is unknown, or its library is not installed.
    """
    text = str(models)
    if text.startswith("file://"):
        return Folder(Path(text[len("file://") :]))
    if "://" not in text:
        return Folder(Path(text))
    return Remote(text, cache_dir)
