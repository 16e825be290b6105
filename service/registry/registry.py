"""The models that are published, as loaded detectors: what a name means, what is refused, and what memory allows."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Literal

import structlog

from service.registry.catalogue import Catalogue
from service.registry.loading import Loading
from service.registry.opening import open_store
from service.registry.shared import Shared
from service.registry.slots import Changes, Loaded, Slot, default_versions
from service.registry.watch import Watch
from service.settings import Settings

log = structlog.get_logger("service.registry")
WATCH_S, WATCH_REMOTE_S, FOLLOW_S = 2.0, 30.0, 1.0


class Registry(Catalogue):
    """Looks at a folder or URL of models again and again, and keeps what it finds there loaded.

    The bare name means the version in `<name>/default`; without that file the highest version that is neither
    refused nor unloaded, so that a bad new version does not take over. A version that `default` names is pinned: where
    it cannot serve, the bare name answers 503 rather than by another model than the one asked for. (A `default` that
    names no version there is falls back to the highest, as everywhere in `ebm`.)

    All state belongs to the event loop, hence no locks; reading and checking files happens in threads.
    """

    def __init__(
        self,
        models: Path | str,
        device: str = "cpu",
        *,
        load: Literal["eager", "lazy"] = "eager",
        watch_s: float | None = None,
        cache_dir: Path | None = None,
        max_model_bytes: int | None = None,
        runtime_dir: Path | None = None,
    ):
        """Args:
        models: a path, or a URL that fsspec knows; versions of a URL are mirrored below `cache_dir`.
        load: every version at once, or each at its first request.
        watch_s: seconds between two looks; 0: only when asked; None: 2 for a folder, 30 for a URL.
        max_model_bytes: evict the least recently used beyond; None: no limit.
        runtime_dir: a folder shared by the worker processes of one server: an `unload` reaches them all.

        Raises:
            BadConfig: a URL that cannot be opened.
        """
        self.store = open_store(models, cache_dir)
        self.shared = Shared(runtime_dir)
        super().__init__(max_model_bytes, self.shared.read())
        self.eager = load == "eager"
        self._looked, self._reloads = False, self._asked.reloads
        self._problem: str | None = None
        self._looking = asyncio.Lock()
        self._loading = Loading(self.store, device, self._loaded_one)
        every_s = watch_s if watch_s is not None else WATCH_REMOTE_S if self.store.is_remote else WATCH_S
        self._watch = Watch(self.look, every_s, self._called, FOLLOW_S if runtime_dir else 0)

    @classmethod
    def of(cls, settings: Settings) -> Registry:
        """As the settings say."""
        return cls(
            settings.models_dir,
            settings.device,
            load=settings.load,
            watch_s=settings.watch_s,
            cache_dir=settings.cache_dir,
            max_model_bytes=settings.max_model_bytes,
            runtime_dir=settings.runtime_dir,
        )

    async def start(self) -> None:
        """The first look, which loads what `load` says, then watch."""
        await self.look()
        self._watch.start()

    async def stop(self) -> None:
        """Watch no more. What is loaded stays."""
        await self._watch.stop()
        await self._loading.stop()

    # -- answers ----------------------------------------------------------------------------------------------------

    async def get(self, name: str, version: str | None = None) -> Loaded:
        """The model asked for: at once where it is loaded, else when it is.

        Raises:
            Problem: 404 for a name or version that is not there; 503 for one that is refused or unloaded.
        """
        found = self._ready.get((name, version))
        if found is None:
            found = await self._load_to_answer(name, version)
        if self._limit:
            self._used[found.name, found.version] = next(self._uses)
        return found

    async def _load_to_answer(self, name: str, version: str | None) -> Loaded:
        while True:  # each turn either answers or finds one more version that does not load
            slot = self.find(name, version)
            found = slot.loaded or await self._loading.load(slot)
            if found is not None:
                return found

    @property
    def ready(self) -> bool:
        """The first look is done, and at least one version is loaded or will load at its first request."""
        return self._looked and any(slot.usable for slot in self._slots.values())

    @property
    def problem(self) -> str | None:
        """Why the last look failed, if it did; what was known before is served meanwhile."""
        return self._problem

    # -- commands ---------------------------------------------------------------------------------------------------

    async def reload(self) -> Changes:
        """Look now, in every worker; refused versions are tried again, and one republished under its old number,
        which a watcher refuses, is taken as it is now."""
        self.shared.update(lambda asked: asked.reload())
        return await self.look()

    async def load(self, name: str, version: str | None = None) -> None:
        """Undo `unload`, look anew, and have the version (None: the default one) in memory.

        Raises:
            Problem: 404 where it is not published; 503 where it does not load.
        """
        known = [key[1] for key in self._slots if key[0] == name]
        self.shared.update(lambda asked: asked.load(name, version, known))
        await self.look()
        await self.get(name, version)

    def unload(self, name: str, version: str | None = None) -> None:
        """Answer 503 for a version (None: all of this name, those to come too) until it is loaded again, or the server
        is started anew. Requests under way are answered.

        Raises:
            Problem: 404 where there is no such model.
        """
        self._require(name, version)
        self._asked = self.shared.update(lambda asked: asked.unload(name, version))
        self._settle()

    def _called(self) -> bool:
        """Whether another process has asked for something: one stat."""
        return self.shared.changed() or self._asked.reloads != self._reloads

    # -- looks ------------------------------------------------------------------------------------------------------

    async def look(self) -> Changes:
        """Compare what is published with what is known, load what is new, then swap all at once."""
        async with self._looking:
            try:
                look = await asyncio.to_thread(self.store.look)
            except Exception as error:  # a store that is away says nothing about the models: keep them
                return self._failed(error)
            asked = self.shared.read()  # not before the await: an `unload` may have come meanwhile
            anew = asked.reloads != self._reloads
            self._problem, self._asked, self._reloads = None, asked, asked.reloads
            before, defaults = dict(self._slots), dict(self._defaults)
            reasons = {key: slot.reason for key, slot in before.items()}
            slots, work = {}, []
            for key, found in look.versions.items():
                slot = slots[key] = before.get(key) or Slot(found)
                changed, slot.found = slot.found.stamp != found.stamp, found
                again = slot.reason is not None and (anew or time.monotonic() >= slot.retry_at)
                if not asked.is_unloaded(*key) and (not slot.checked or changed or again):
                    if anew:
                        slot.digest = None
                    work.append(slot)
            await self._read(work, default_versions(slots, look.named))
            self._slots, self._named, self._looked = slots, look.named, True
            self._settle()
            changes = Changes.between(before, reasons, slots)
            for name in sorted({*defaults, *self._defaults}):
                moved = defaults.get(name), self._defaults.get(name)
                if moved[0] != moved[1]:
                    changes.defaults[name] = moved
            return changes

    async def _read(self, slots: list[Slot], defaults: dict[str, str]) -> None:
        """Load what must be in memory, the default versions first; of the rest read the manifest."""
        planned = self.numbers.n_bytes
        tasks = []
        for slot in sorted(slots, key=lambda one: defaults.get(one.key[0]) != one.key[1]):
            # A name in use keeps its pace when a new version comes: that is loaded before it takes over.
            wanted = self.eager or (slot.key[0], None) in self._ready
            fits = not self._limit or planned + slot.found.n_bytes <= self._limit
            if slot.loaded is not None or (wanted and fits):
                planned += slot.found.n_bytes
                tasks.append(self._loading.load(slot))
            else:
                tasks.append(self._loading.check(slot))
        await asyncio.gather(*tasks)

    def _failed(self, error: Exception) -> Changes:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        if problem != self._problem:
            log.warning("look_failed", reason=problem)
        self._problem = problem
        self._asked = self.shared.read()
        self._settle()
        return Changes(failed=problem)

    def _loaded_one(self, slot: Slot) -> None:
        self._used[slot.key] = next(self._uses)
        self._settle()
