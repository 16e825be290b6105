"""Where artefacts come from, as a look at it finds them: a folder here; `remote.py` has URLs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ebm.artifact import DEFAULT, MANIFEST, order

Key = tuple[str, str]  # name, version
Stamp = tuple[tuple[str, ...], ...]  # of each file its name, size and time: differs where a file was written


@dataclass(frozen=True)
class Found:
    """One version as a look saw it, before anything of it is read."""

    name: str
    version: str
    stamp: Stamp
    n_bytes: int  # of its files together

    @property
    def key(self) -> Key:
        return self.name, self.version


@dataclass(frozen=True)
class Look:
    """All versions, by name and in natural order of version; and what each `<name>/default` says."""

    versions: dict[Key, Found]
    named: dict[str, str]

    @classmethod
    def of(cls, found: Iterable[Found], named: dict[str, str]) -> Look:
        ordered = sorted(found, key=lambda one: (one.name, order(one.version)))
        return cls({one.key: one for one in ordered}, named)


class Store(Protocol):
    """All calls block: they belong in a thread."""

    is_remote: bool

    def look(self) -> Look:
        """What is published now. Raises OSError or what else the file system raises: nothing is known then."""
        ...

    def manifest(self, found: Found) -> bytes:
        """The bytes of manifest.json. Raises FileNotFoundError where it is not (yet) there."""
        ...

    def fetch(self, found: Found) -> Path:
        """A local folder with the version's files."""
        ...


class Folder:
    """A folder `<name>/<version>/` on this machine."""

    is_remote = False

    def __init__(self, root: Path):
        self.root = root

    def look(self) -> Look:
        found, named = [], {}
        for model in _folders(self.root):
            for version in _folders(model):
                files = sorted((e for e in os.scandir(version) if e.is_file()), key=lambda e: e.name)
                stats = [(file.name, file.stat()) for file in files]
                # The inode tells a file that was renamed over another, which may keep size and time.
                stamp = tuple((n, str(s.st_size), str(s.st_mtime_ns), str(s.st_ino)) for n, s in stats)
                found.append(Found(model.name, version.name, stamp, sum(s.st_size for _, s in stats)))
            chosen = model / DEFAULT
            if chosen.is_file():
                named[model.name] = chosen.read_text(encoding="utf-8", errors="replace").strip()
        return Look.of(found, named)

    def manifest(self, found: Found) -> bytes:
        return (self.fetch(found) / MANIFEST).read_bytes()

    def fetch(self, found: Found) -> Path:
        return self.root / found.name / found.version


def _folders(path: Path) -> list[Path]:
    return [path / e.name for e in os.scandir(path) if e.is_dir() and not e.name.startswith(".")]
