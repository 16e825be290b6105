"""Whose the staging folder of a run is: claimed, gone on with, or another's."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import Any

from ebm.batch.journal import HEADER, SUMMARY, Journal, naming_failures, read_json
from ebm.batch.lock import NAME as LOCK
from ebm.batch.lock import FolderLock
from ebm.batch.spec import BatchSpec
from ebm.batch.target import Target
from ebm.detector import Detector
from ebm.errors import BadInput

FORMAT = 1  # of the staging folder: a run of another is not gone on with


class Busy(BadInput):
    """Another process is at work on the same output."""


class Staging:
    """The folder `target.staging` for the run that `facts` describe: what must be the same for it to go on.

    run: a hash of the facts. summary: of a run that an earlier process completed, but for moving its files where it is
    not `published`. resumed: whether the folder held chunks of this run.
    """

    def __init__(self, spec: BatchSpec, target: Target, facts: dict[str, Any]):
        self.spec, self.target, self.facts = spec, target, facts
        self.run = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        self.place = target.staging
        self.journal = Journal(self.place)
        # Behind a URL there are no locks: whoever runs two processes on one output there has to know.
        self._lock = None if self.place.path is None else FolderLock(self.place.path)
        self.summary: dict[str, Any] | None = None
        self.published = self.resumed = self._tidy = False

    @property
    def mine(self) -> bool:
        """Whether no other process can be at work on the folder."""
        return self._lock is None or self._lock.held

    def claim(self, fresh: bool) -> None:
        """Begin, or go on with what an earlier process left; beside another process, where that does the same run.

        Raises:
            BadInput: the folder holds another run, or is no run's; the output is there and may not be replaced. Busy.
            OSError: the folder cannot be written.
        """
        if not fresh and self._is_published():
            return
        self.target.check_free(self.spec.overwrite)
        self.journal.header()  # raises where it is somebody else's folder
        self._try_lock()
        header = self.journal.header()
        same = header is not None and header.get("run") == self.run
        if not self.mine and (fresh or not same):
            raise self.busy()
        if same and not fresh:
            self.journal.refresh()
            self.summary = read_json(self.place.joinpath(SUMMARY))
            self.resumed = bool(self.journal.entries) or self.summary is not None
            return
        if header is not None:
            self.journal.refresh()
            if self.journal.entries and not fresh:
                raise BadInput(
                    f"{self.place}: holds an unfinished run with {_difference(header, self.facts)}; finish that one, "
                    "or drop it and begin afresh"
                )
            self.clear()
            self._try_lock()
            if not self.mine:
                raise self.busy()
        self.journal.claim(self.run, {**self.facts, "spec": spec_json(self.spec)})

    def require_lock(self) -> None:
        """Take the lock, and tidy up after whoever had it before. Raises Busy where another process has it."""
        if not self.mine:
            self._try_lock()
            if not self.mine:
                raise self.busy()
            self.journal.refresh()
        if not self._tidy:
            with naming_failures(self.place):
                self.journal.tidy()
            self._tidy = True

    def clear(self) -> None:
        """Remove the folder, and with it the lock."""
        with naming_failures(self.place):
            self.journal.clear()
        if self._lock is not None:
            self._lock.release()

    def close(self, hopeless: bool) -> None:
        """Let go of the lock. Remove the folder where there is nothing to go on with, or it would lead nowhere."""
        if self.mine and not self.published:
            with suppress(BadInput, OSError):
                self.journal.refresh()
                if hopeless or (self.summary is None and not self.journal.entries):
                    self.clear()
        if self._lock is not None:
            self._lock.release()

    def busy(self) -> Busy:
        assert self._lock is not None
        return Busy(f"{self.place}: {self._lock.holder()} is at work on it")

    def _try_lock(self) -> None:
        if self._lock is not None:
            with naming_failures(self.place):
                self._lock.acquire()

    def _is_published(self) -> bool:
        """Whether the output there is this run's: the process that published it died before it could say so."""
        summary = read_json(self.target.summary)
        if summary is None or summary.get("run") != self.run or self.journal.header() is not None:
            return False
        place = self.target.place
        if self.target.single:
            parts = [place] if place.exists() else []
        else:
            parts = [child for child in place.iterdir() if child.name.startswith("part-")]
        if not parts or sum(part.size() or 0 for part in parts) != summary["output"]["bytes"]:
            return False
        if not self.target.single and place.path is not None:
            for name in (HEADER, LOCK):  # what it had left to remove
                place.joinpath(name).remove()
        if self.place.is_dir():  # and of the staging folder
            self._try_lock()
            if self.mine:
                self.clear()
        self.summary, self.published = summary, True
        return True


def facts_of(
    spec: BatchSpec, target: Target, detector: Detector, source: dict[str, Any], rows_per_chunk: int
) -> dict[str, Any]:
    """What must be the same for a run to go on; `source` is the identity of its input."""
    manifest = detector.manifest.model_dump_json()  # it has the checksums of all other files
    about = {"name": detector.name, "version": detector.version}
    return {
        "format": FORMAT,
        "input": source,
        "model": about | {"sha256": hashlib.sha256(manifest.encode()).hexdigest()},
        "options": spec.options.model_dump(),
        "output": [target.place.name, target.kind, target.single],
        "rows_per_chunk": rows_per_chunk,
        "on_error": spec.on_error,
    }


def discard(spec: BatchSpec) -> None:
    """Remove the staging folder of a run that is given up; nothing where it is another's.

    Raises:
        Busy: a process is at work on it. OSError: it cannot be removed.
    """
    staging = Staging(spec, Target.of(spec), {})
    header = staging.journal.header()
    if header is not None and header.get("facts", {}).get("spec") == spec_json(spec):
        staging.require_lock()
        staging.clear()


def spec_json(spec: BatchSpec) -> dict[str, Any]:
    """What was asked for, without what does not matter to the result."""
    return spec.model_dump(mode="json", exclude={"device", "overwrite", "summary"})


def _difference(header: dict[str, Any], facts: dict[str, Any]) -> str:
    theirs = header.get("facts", {})
    plain = json.loads(json.dumps(facts, default=str))
    other = [key for key, value in plain.items() if theirs.get(key) != value]
    return "another " + " and ".join(other or ["format"]).replace("_", " ")
