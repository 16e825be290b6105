"""The models folder as loaded detectors. A bad artefact is listed with its reason; the others serve on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from starlette.concurrency import run_in_threadpool

from ebm import artifact
from ebm.detector import Detector
from ebm.errors import EBMError
from service.errors import Problem

log = structlog.get_logger("service.registry")


@dataclass(frozen=True)
class Loaded:
    """One version of one model, ready to answer."""

    name: str
    version: str
    is_default: bool
    detector: Detector


@dataclass(frozen=True)
class Refused:
    """One version of one model that could not be loaded, and why."""

    name: str
    version: str
    is_default: bool
    reason: str


@dataclass
class Registry:
    """Loads every version of every model under `models_dir`; lookups are by name, and version or default."""

    models_dir: Path
    device: str = "cpu"
    load_one: Callable[..., Detector] = artifact.load
    list_all: Callable[[Path], Any] = artifact.list_models
    loaded: dict[tuple[str, str], Loaded] = field(default_factory=dict, init=False)
    refused: dict[tuple[str, str], Refused] = field(default_factory=dict, init=False)

    def load(self) -> None:
        """Read the folder. Replaces what was loaded only once everything has been read."""
        loaded: dict[tuple[str, str], Loaded] = {}
        refused: dict[tuple[str, str], Refused] = {}
        if not self.models_dir.is_dir():
            log.warning("models_dir_missing", models_dir=str(self.models_dir))
            entries = []
        else:
            entries = self.list_all(self.models_dir)
        for entry in entries:
            key = (entry.name, str(entry.version))
            try:
                detector = self.load_one(entry.path, device=self.device)
            except Exception as error:  # one model that fails in any way must not stop the others
                known = isinstance(error, EBMError)
                reason = str(error) if known else f"{type(error).__name__}: {error}"
                reason = " ".join(reason.replace(f"{self.models_dir}/", "").split())
                refused[key] = Refused(*key, entry.default, reason)
                log.warning("model_refused", model=key[0], version=key[1], reason=reason, exc_info=not known)
            else:
                loaded[key] = Loaded(*key, entry.default, detector)
                log.info("model_loaded", model=key[0], version=key[1])
        self.loaded, self.refused = loaded, refused

    async def start(self) -> None:
        """Load what is there."""
        await run_in_threadpool(self.load)

    async def stop(self) -> None:
        """Nothing runs on."""

    async def get(self, name: str, version: str | None = None) -> Loaded:
        """The model asked for.

        Raises:
            Problem: 404 for a name or version that is not there; 503 for one that was refused.
        """
        everything: dict[tuple[str, str], Loaded | Refused] = {**self.loaded, **self.refused}
        versions = [found for key, found in everything.items() if key[0] == name]
        if not versions:
            served = ", ".join(sorted({key[0] for key in self.loaded})) or "none"
            raise Problem(404, "unknown-model", f"no model {name!r}; served: {served}")
        if version is None:
            found = next((one for one in versions if one.is_default), versions[-1])
        else:
            found = next((one for one in versions if one.version == version), None)
        if found is None:
            known = ", ".join(one.version for one in versions)
            raise Problem(
                404, "unknown-version", f"model {name!r} has no version {version!r}; it has {known}"
            )
        if isinstance(found, Refused):
            raise Problem(503, "model-refused", f"model {name!r} version {found.version}: {found.reason}")
        return found

    def versions(self, name: str) -> list[str]:
        """The loaded versions of a model, in the order of the folder listing."""
        return [key[1] for key in self.loaded if key[0] == name]

    def served(self) -> list[Loaded]:
        """One entry a model name: what `name` alone means."""
        return [one for one in self.loaded.values() if one.is_default]
