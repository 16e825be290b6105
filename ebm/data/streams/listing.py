"""The files of a folder that are read together, in one order, and what tells whether any has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ebm.data.streams.place import Place


@dataclass(frozen=True)
class Listing:
    """names: paths below the folder, with "/", sorted folder by folder."""

    folder: Place
    names: list[str]
    digest: str

    def place(self, name: str) -> Place:
        return self.folder.joinpath(*PurePosixPath(name).parts)

    def identity(self) -> dict[str, Any]:
        """As that of a file; `listing` is a hash of all names, sizes and times or ETags."""
        place = str(self.folder if self.folder.path is None else self.folder.path.resolve())
        return {"place": place, "files": len(self.names), "listing": self.digest}


def list_files(folder: Place, wanted: Callable[[str], bool]) -> Listing:
    """Those below a folder whose name is wanted. Hidden files and folders are left out.

    Raises:
        BadInput: the folder is missing or cannot be read.
    """
    found = [(name, facts) for name, facts in folder.files_below() if wanted(PurePosixPath(name).name)]
    found.sort(key=lambda pair: PurePosixPath(pair[0]).parts)
    digest = hashlib.sha256()
    for name, facts in found:
        digest.update(os.fsencode(name) + b"\0" + facts.encode() + b"\n")
    return Listing(folder, [name for name, _ in found], digest.hexdigest())
