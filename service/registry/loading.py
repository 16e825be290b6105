"""Reading versions in threads: one read at a time of each, however many requests wait for it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable

import structlog

from ebm import artifact
from ebm.detector import Detector
from ebm.errors import BadArtifact, EBMError
from service.registry.memory import size_of
from service.registry.slots import Loaded, Slot
from service.registry.store import Found, Key, Store

log = structlog.get_logger("service.registry")
AT_ONCE = 2  # versions read at the same time
RETRY_S, RETRY_MAX_S = 2.0, 300.0  # until a refused version whose files did not change is tried again


class Loading:
    """Fills slots. `done` is called on the event loop after each load, whether or not it worked."""

    def __init__(self, store: Store, device: str, done: Callable[[Slot], None]):
        self.store, self.device, self.done = store, device, done
        self._tasks: dict[Key, asyncio.Task[Loaded | None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def load(self, slot: Slot) -> Loaded | None:
        """The version, loaded; None where it is refused now, and the slot has the reason."""
        task = self._tasks.get(slot.key)
        if task is None:
            task = self._tasks[slot.key] = asyncio.create_task(self._load(slot))
            task.add_done_callback(lambda _: self._tasks.pop(slot.key, None))
        return await asyncio.shield(task)  # a client that goes away must not cancel it for the others

    async def check(self, slot: Slot) -> None:
        """Read the manifest only."""
        found = slot.found
        try:
            data = await asyncio.to_thread(self.store.manifest, found)
            _require_same(found, data, slot.digest)
            source = f"{found.name}/{found.version}/{artifact.MANIFEST}"
            slot.manifest = artifact.parse_manifest(data, source)
        except FileNotFoundError:
            _refuse(slot, BadArtifact(f"{found.name}/{found.version}/{artifact.MANIFEST}: missing"))
        except Exception as error:  # one model that fails in any way must not stop the others
            _refuse(slot, error)
        else:
            slot.digest = hashlib.sha256(data).hexdigest()
            _accept(slot)

    async def stop(self) -> None:
        """Wait for the reads under way: a thread cannot be cancelled."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _load(self, slot: Slot) -> Loaded | None:
        found = slot.found
        try:
            async with self._room:
                detector, digest = await asyncio.to_thread(_read, self.store, found, self.device, slot.digest)
        except Exception as error:
            _refuse(slot, error)
            self.done(slot)
            return None
        if slot.loaded is None or slot.digest != digest:  # else only touched
            slot.loaded = Loaded(*found.key, False, detector, size_of(detector))
            log.info("model_loaded", model=found.name, version=found.version, bytes=slot.loaded.n_bytes)
        slot.digest, slot.manifest, slot.can = digest, detector.manifest, detector.can
        _accept(slot)
        loaded = slot.loaded
        self.done(slot)
        return slot.loaded or loaded


def _read(store: Store, found: Found, device: str, digest: str | None) -> tuple[Detector, str]:
    path = store.fetch(found)
    try:
        data = (path / artifact.MANIFEST).read_bytes()
        _require_same(found, data, digest)
        return artifact.load(path, device=device), hashlib.sha256(data).hexdigest()
    except FileNotFoundError:
        raise BadArtifact(f"{found.name}/{found.version}/{artifact.MANIFEST}: missing") from None
    except BadArtifact as error:
        # The folder is the server's business, the file within it is the reader's.
        raise BadArtifact(str(error).replace(f"{path.parent.parent}/", "")) from None


def _require_same(found: Found, data: bytes, digest: str | None) -> None:
    if digest not in (None, hashlib.sha256(data).hexdigest()):
        raise BadArtifact(
            f"{found.name}/{found.version}/{artifact.MANIFEST}: changed after it was published; "
            "publish a new version, or ask for a reload"
        )


def _accept(slot: Slot) -> None:
    slot.reason, slot.checked, slot.evicted, slot.tries = None, True, False, 0


def _refuse(slot: Slot, error: Exception) -> None:
    known = isinstance(error, EBMError)
    reason = " ".join((str(error) if known else f"{type(error).__name__}: {error}").split())
    if reason != slot.reason:
        name, version = slot.key
        log.warning("model_refused", model=name, version=version, reason=reason, exc_info=not known)
    slot.loaded, slot.reason, slot.checked, slot.evicted = None, reason, True, False
    slot.retry_at = time.monotonic() + min(RETRY_S * 2**slot.tries, RETRY_MAX_S)
    slot.tries = min(slot.tries + 1, 20)
