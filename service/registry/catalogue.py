"""What is known of every version, and what follows from it: what a name means, what is ready, what memory allows."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import structlog

from service.errors import Problem
from service.registry.memory import to_evict
from service.registry.shared import Asked
from service.registry.slots import Loaded, Numbers, Refused, Slot, default_versions
from service.registry.store import Key

log = structlog.get_logger("service.registry")


class Catalogue:
    """Belongs to the event loop: read and changed there only, hence no locks."""

    def __init__(self, limit: int | None, asked: Asked):
        self._limit, self._asked = limit, asked
        self._slots: dict[Key, Slot] = {}
        self._named: dict[str, str] = {}
        self._defaults: dict[str, str] = {}
        self._ready: dict[tuple[str, str | None], Loaded] = {}
        self._used: dict[Key, int] = {}
        self._uses = itertools.count(1)
        self._evictions = 0

    # -- answers ----------------------------------------------------------------------------------------------------

    @property
    def slots(self) -> dict[Key, Slot]:
        """All that is known of each version, by name and in the order of versions; not to be changed."""
        return self._slots

    @property
    def loaded(self) -> dict[Key, Loaded]:
        return {key: slot.loaded for key, slot in self._slots.items() if slot.loaded is not None}

    @property
    def refused(self) -> dict[Key, Refused]:
        return {key: slot.as_refused for key, slot in self._slots.items() if slot.state == "refused"}

    @property
    def numbers(self) -> Numbers:
        """For metrics."""
        states = [slot.state for slot in self._slots.values()]
        n_bytes = sum(one.n_bytes for one in self.loaded.values())
        return Numbers(
            loaded=states.count("loaded"),
            available=states.count("available"),
            evicted=states.count("evicted"),
            refused=states.count("refused"),
            unloaded=states.count("unloaded"),
            n_bytes=n_bytes,
            evictions=self._evictions,
        )

    def default(self, name: str) -> str | None:
        """The version that the bare name means; None for an unknown name."""
        return self._defaults.get(name)

    def note(self, name: str) -> str | None:
        """Why the bare name does not mean the highest version, where that is not by choice of its `default` file."""
        mine = [slot for key, slot in self._slots.items() if key[0] == name]
        default = self._defaults.get(name)
        if not mine or mine[-1].key[1] == default or self._named.get(name) == default:
            return None
        return f"version {mine[-1].key[1]} is {mine[-1].state}; {name!r} means version {default}"

    def versions(self, name: str) -> list[str]:
        """The versions of a model that can answer, the lowest first."""
        return [key[1] for key, slot in self._slots.items() if key[0] == name and slot.usable]

    def served(self) -> list[Loaded]:
        """One entry a model name, of those whose default version is loaded now."""
        return [one for (_, version), one in self._ready.items() if version is None]

    def index(self) -> list[dict[str, Any]]:
        """Open Inference repository index: READY where a request is answered, UNAVAILABLE with the reason otherwise."""
        return [
            {
                "name": slot.key[0],
                "version": slot.key[1],
                "state": "READY" if slot.usable else "UNAVAILABLE",
                "reason": "unloaded" if slot.unloaded else slot.reason or "",
            }
            for slot in self._slots.values()
        ]

    def find(self, name: str, version: str | None = None) -> Slot:
        """What is known of a version that can answer, or of what the bare name means.

        Raises:
            Problem: 404 for a name or version that is not there; 503 for one that is refused or unloaded.
        """
        chosen = self._defaults.get(name) if version is None else version
        slot = self._slots.get((name, chosen)) if chosen is not None else None
        if slot is None:
            self._require(name, version)
            raise AssertionError("every name has a default")
        if slot.unloaded:
            raise Problem(503, "model-unloaded", f"model {name!r} version {slot.key[1]} is unloaded")
        if slot.reason is not None:
            raise Problem(503, "model-refused", f"model {name!r} version {slot.key[1]}: {slot.reason}")
        return slot

    def _require(self, name: str, version: str | None) -> list[Slot]:
        """The slots of a name, or of one version. Raises Problem 404 where there is none."""
        mine = [slot for key, slot in self._slots.items() if key[0] == name]
        if not mine:
            served = ", ".join(sorted({key[0] for key, slot in self._slots.items() if slot.usable})) or "none"
            raise Problem(404, "unknown-model", f"no model {name!r}; served: {served}")
        found = [slot for slot in mine if version in (None, slot.key[1])]
        if not found:
            known = ", ".join(slot.key[1] for slot in mine)
            raise Problem(
                404, "unknown-version", f"model {name!r} has no version {version!r}; it has {known}"
            )
        return found

    # -- changes ----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Make all answers follow from the slots."""
        for key, slot in self._slots.items():
            slot.unloaded = self._asked.is_unloaded(*key)
            if slot.unloaded:
                slot.loaded, slot.checked, slot.evicted = None, False, False
        if self._limit is not None:
            self._make_room(self._limit)
        was, self._defaults = self._defaults, default_versions(self._slots, self._named)
        ready: dict[tuple[str, str | None], Loaded] = {}
        for key, slot in self._slots.items():
            slot.is_default = self._defaults[key[0]] == key[1]
            if slot.loaded is None:
                continue
            if slot.loaded.is_default != slot.is_default:
                slot.loaded = replace(slot.loaded, is_default=slot.is_default)
            ready[key] = slot.loaded
            if slot.is_default:
                ready[key[0], None] = slot.loaded
        self._ready = ready
        for name, version in self._defaults.items():
            if was.get(name, version) != version:
                log.info("default_moved", model=name, before=was[name], now=version)

    def _make_room(self, limit: int) -> None:
        sizes = {key: one.n_bytes for key, one in self.loaded.items()}
        for key in to_evict(sizes, self._used, limit):
            slot = self._slots[key]
            slot.loaded, slot.evicted = None, True
            self._evictions += 1
            log.info("model_evicted", model=key[0], version=key[1], bytes=sizes[key])
