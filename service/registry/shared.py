"""What an administrator asked of the models, shared by the worker processes of one server through a small file."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # not on Windows, where the service has one worker
    fcntl = None

FILE = "models.json"


@dataclass(frozen=True)
class Asked:
    """`unloaded`: (name, version), version None for all, also those to come. `reloads` counts calls to look anew."""

    unloaded: frozenset[tuple[str, str | None]] = frozenset()
    reloads: int = 0

    def is_unloaded(self, name: str, version: str) -> bool:
        return (name, None) in self.unloaded or (name, version) in self.unloaded

    def reload(self) -> Asked:
        return Asked(self.unloaded, self.reloads + 1)

    def unload(self, name: str, version: str | None) -> Asked:
        kept = {one for one in self.unloaded if version is not None or one[0] != name}
        return Asked(frozenset(kept | {(name, version)}), self.reloads)

    def load(self, name: str, version: str | None, known: list[str]) -> Asked:
        """`known`: the versions there are, which stay unloaded where only one of them is loaded again."""
        kept = {one for one in self.unloaded if one[0] != name}
        if version is not None:
            kept |= {(name, one) for one in known if one != version and self.is_unloaded(name, one)}
        return Asked(frozenset(kept), self.reloads + 1)


class Shared:
    """Reads and changes `Asked`; without a folder it is this process's own."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder
        self._asked = Asked()
        self._stamp: Any = None

    def changed(self) -> bool:
        """Whether another process has written since the last `read`: one stat."""
        return self._now() != self._stamp

    def read(self) -> Asked:
        """What is asked now; what was known before, where the file cannot be read."""
        if self.folder is not None:
            self._stamp = self._now()
            try:
                values = json.loads((self.folder / FILE).read_bytes())
                unloaded = frozenset((str(n), None if v is None else str(v)) for n, v in values["unloaded"])
                self._asked = Asked(unloaded, int(values["reloads"]))
            except FileNotFoundError:
                pass
            except (OSError, ValueError, KeyError, TypeError):
                self._stamp = None  # look again
        return self._asked

    def update(self, change: Callable[[Asked], Asked]) -> Asked:
        """Apply `change` to what is asked now, one process at a time."""
        with self._lock():
            asked = change(self.read())
            if self.folder is not None:
                beside = self.folder / f".{FILE}.{uuid.uuid4().hex}"
                unloaded = sorted(asked.unloaded, key=lambda one: (one[0], one[1] or ""))
                beside.write_text(json.dumps({"unloaded": unloaded, "reloads": asked.reloads}))
                os.replace(beside, self.folder / FILE)
                self._stamp = self._now()
            self._asked = asked
        return asked

    def _now(self) -> Any:
        if self.folder is None:
            return None
        try:
            found = (self.folder / FILE).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        if self.folder is None or fcntl is None:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{FILE}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
