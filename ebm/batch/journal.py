"""The staging folder of a batch run: its parts, and for each that is durable an entry that says so."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from ebm.batch.lock import NAME as LOCK
from ebm.data.streams import Mark
from ebm.data.streams.place import Place
from ebm.errors import BadInput

# Readers of a folder of parts (Arrow, Spark) pass over names that begin with a line.
HEADER, SUMMARY, REJECTS = ".run.json", "_summary.json", "_rejects.csv"
ENTRY = re.compile(r"part-(\d{6,})\.json")
OWN = re.compile(
    r"\.lock|\.run\.json|\..*\.tmp|part-\d{6,}\.\w+(\.\w+)*|rejects-\d{6,}\.csv|assembled\..*|summary\.json"
)


@dataclass(frozen=True)
class Entry:
    """One chunk that is durable. bytes: of its part, as it was staged."""

    index: int
    start: Mark
    end: Mark
    rejected: int
    anomalies: int | None
    part: str
    bytes: int

    @property
    def rows(self) -> int:
        return self.end.row - self.start.row


class Journal:
    """The entries of the folder `place`, as of the last look. Several processes may add to one folder."""

    def __init__(self, place: Place):
        self.place = place
        self.entries: dict[int, Entry] = {}

    # -- the run --------------------------------------------------------------------------------------------------

    def header(self) -> dict[str, Any] | None:
        """What run the folder belongs to: `run`, a hash of `facts`; None where it is empty or not there.

        Raises:
            BadInput: the folder is there and is no run's.
        """
        header = read_json(self.place.joinpath(HEADER))
        if header is not None:
            return header
        if self.place.is_dir():
            strange = [child.name for child in self.place.iterdir() if not OWN.fullmatch(child.name)]
            if strange:
                raise BadInput(f"{self.place}: is there, and is no unfinished run (it holds {strange[0]!r})")
        elif self.place.exists():
            raise BadInput(f"{self.place}: is there, and is no unfinished run")
        return None

    def claim(self, run: str, facts: dict[str, Any]) -> None:
        """Begin a run in the folder, which may be missing, or hold what is nobody's."""
        self.place.mkdirs()
        self.entries = {}
        for child in list(self.place.iterdir()) if self.place.is_dir() else ():
            if child.name != LOCK:
                child.remove()
        write_json(self.place, HEADER, {"run": run, "facts": facts})

    def clear(self) -> None:
        """Remove the folder so that, wherever this is interrupted, what is left is still the run's, or nobody's."""
        self.entries = {}
        if not self.place.is_dir():
            return
        last = {HEADER: 1, SUMMARY: 2, LOCK: 3}
        for child in sorted(self.place.iterdir(), key=lambda one: last.get(one.name, 0)):
            child.remove()
        self.place.remove()

    # -- its chunks -----------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Look for the entries of other processes."""
        for child in self.place.iterdir() if self.place.is_dir() else ():
            found = ENTRY.fullmatch(child.name)
            if found and int(found[1]) not in self.entries:
                entry = read_json(child)
                if entry is not None:
                    self.entries[int(found[1])] = _entry(entry)

    def tidy(self) -> None:
        """Remove what processes that died had begun to write. Not while others may be at it."""
        for child in self.place.iterdir() if self.place.path is not None else ():
            if child.name.endswith(".tmp"):
                child.remove()

    def record(self, entry: Entry, tally: dict[str, Any] | None) -> None:
        """Note that a chunk is durable, which makes it so."""
        values = {**vars(entry), "start": list(entry.start), "end": list(entry.end), "tally": tally}
        write_json(self.place, entry_name(entry.index), values)
        self.entries[entry.index] = entry

    def tallies(self) -> Iterator[dict[str, Any]]:
        """Of all chunks, in order; one at a time in memory."""
        for index in sorted(self.entries):
            entry = read_json(self.place.joinpath(entry_name(index)))
            if entry is None:
                raise BadInput(
                    f"{self.place.joinpath(entry_name(index))}: has been removed while the run went on"
                )
            if entry["tally"] is not None:
                yield entry["tally"]

    def run_of_done(self) -> int:
        """How many chunks from the first on are durable without a gap."""
        index = 0
        while index in self.entries:
            index += 1
        return index


def entry_name(index: int) -> str:
    return f"part-{index:06d}.json"


def _entry(values: dict[str, Any]) -> Entry:
    values = {key: value for key, value in values.items() if key != "tally"}
    return Entry(**{**values, "start": Mark(*values["start"]), "end": Mark(*values["end"])})


def read_json(place: Place) -> dict[str, Any] | None:
    """None where it is not there, or is not what this wrote."""
    if place.path is not None:
        try:
            data = place.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
    else:
        if not place.exists():
            return None
        with place.open("rb") as file:
            data = file.read()
    with suppress(ValueError, RecursionError):
        values = json.loads(data)
        return values if isinstance(values, dict) else None
    return None


def write_json(folder: Place, name: str, values: dict[str, Any]) -> None:
    data = json.dumps(values, allow_nan=False, default=str).encode()
    write_whole(folder, name, lambda file: file.write(data))


def write_whole(folder: Place, name: str, write: Callable[[BinaryIO], object]) -> int:
    """A file that is there with all its bytes on the disk, or not at all; returns how many bytes.

    Raises:
        OSError: it cannot be written, e.g. on a full disk; names the file.
    """
    target = folder.joinpath(name)
    with naming_failures(target):
        if target.path is None:  # behind a URL a file appears when it is closed
            with target.open("wb") as file:
                write(file)
                return int(file.tell())
        # Two processes may write the same chunk, each its own file: they are alike.
        beside = folder.joinpath(f".{name}.{uuid.uuid4().hex[:12]}.tmp")
        try:
            with beside.open("xb") as file:
                write(file)
            size = beside.size()
            beside.rename_to(target)
            return int(size or 0)
        except BaseException:
            with suppress(BadInput, OSError):
                beside.remove()
            raise


@contextmanager
def naming_failures(place: Place) -> Iterator[None]:
    """What the system refuses, as OSError that names the place in one line."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
        raise OSError(f"{place}: {reason}") from error
    except BadInput as error:
        if isinstance(error.__cause__, OSError):
            raise OSError(str(error)) from error.__cause__
        raise
