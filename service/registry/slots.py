"""What the registry knows of one version, and what it tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ebm.detector import Detector
from ebm.manifest import Manifest
from service.registry.store import Found, Key

State = Literal["loaded", "available", "evicted", "refused", "unloaded"]


@dataclass(frozen=True)
class Loaded:
    """One version of one model, ready to answer. Who holds it can score with it, whatever becomes of the version."""

    name: str
    version: str
    is_default: bool
    detector: Detector
    n_bytes: int = 0


@dataclass(frozen=True)
class Refused:
    """One version of one model that could not be loaded, and why."""

    name: str
    version: str
    is_default: bool
    reason: str


class Numbers(NamedTuple):
    """Versions by state, the bytes of the loaded ones, and how often one was given up for others."""

    loaded: int
    available: int
    evicted: int
    refused: int
    unloaded: int
    n_bytes: int
    evictions: int


@dataclass
class Changes:
    """What a look changed; `defaults`: name -> (version before, version now) that the bare name means."""

    added: list[Key] = field(default_factory=list)
    removed: list[Key] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    defaults: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    failed: str | None = None  # why nothing could be looked at

    @classmethod
    def between(
        cls, before: Mapping[Key, Slot], reasons: Mapping[Key, str | None], now: Mapping[Key, Slot]
    ) -> Changes:
        """`reasons`: why versions were refused before, for slots that stay are the same objects."""
        return cls(
            added=[key for key in now if key not in before],
            removed=[key for key in before if key not in now],
            refused=[
                slot.as_refused
                for key, slot in now.items()
                if slot.state == "refused" and reasons.get(key) != slot.reason
            ],
        )


@dataclass
class Slot:
    """One version: as found, and loaded, refused, or neither (yet, or any more)."""

    found: Found
    is_default: bool = False
    loaded: Loaded | None = None
    reason: str | None = None  # of the refusal
    manifest: Manifest | None = None
    can: frozenset[str] | None = None  # known once it has been loaded
    digest: str | None = None  # of the manifest's bytes: a published version never changes
    checked: bool = False
    evicted: bool = False
    unloaded: bool = False
    tries: int = 0
    retry_at: float = 0.0

    @property
    def key(self) -> Key:
        return self.found.key

    @property
    def usable(self) -> bool:
        """Loaded, or to be loaded at the first request."""
        return self.reason is None and not self.unloaded

    @property
    def state(self) -> State:
        if self.unloaded:
            return "unloaded"
        if self.reason is not None:
            return "refused"
        if self.loaded is not None:
            return "loaded"
        return "evicted" if self.evicted else "available"

    @property
    def as_refused(self) -> Refused:
        return Refused(*self.key, self.is_default, self.reason or "")


def default_versions(slots: Mapping[Key, Slot], named: Mapping[str, str]) -> dict[str, str]:
    """Name -> the version that the bare name means; the rule is in the docstring of `Registry`."""
    found: dict[str, list[Slot]] = {}
    for slot in slots.values():  # in the order of versions
        found.setdefault(slot.key[0], []).append(slot)
    chosen = {}
    for name, mine in found.items():
        versions = [slot.key[1] for slot in mine]
        able = [slot.key[1] for slot in mine if slot.usable]
        pinned = named.get(name)
        chosen[name] = pinned if pinned in versions else (able or versions)[-1]
    return chosen
