"""From a staging folder that has all its parts to the output: wherever it is interrupted, it can be done again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ebm.batch.formats import Kind, join_parts, plain_table, read_part, write_part
from ebm.batch.joining import Joining
from ebm.batch.journal import (
    HEADER,
    REJECTS,
    SUMMARY,
    Entry,
    Journal,
    naming_failures,
    read_json,
    write_json,
    write_whole,
)
from ebm.batch.lock import NAME as LOCK
from ebm.batch.rejects import HEAD, rejects_name
from ebm.batch.target import Target
from ebm.batch.work import Part, Work
from ebm.data.streams.place import Place

COPY = "assembled.json"  # of the summary, on its way
SLICE = 1 << 22  # bytes copied at a time


def staged_kind(target: Target, work: Work) -> Kind:
    """How parts are kept until all are there: as they will be published, or to be read once more."""
    if target.kind == "npy":
        return "npy"
    joined = target.single and target.kind in ("parquet", "arrow")
    return "staged" if joined or work.settles else target.kind


def part_name(index: int, kind: Kind) -> str:
    return f"part-{index:06d}.{kind}"


def joins(target: Target, work: Work) -> bool:
    """Whether the parts can be joined as they come: on this machine, and where none depends on later ones."""
    return (
        target.single
        and not work.settles
        and target.place.path is not None
        and target.kind in ("parquet", "arrow")
    )


def assemble(target: Target, journal: Journal, work: Work, joining: Joining | None) -> tuple[int, int]:
    """Write what will be published into the staging folder; how many parts, of how many bytes in all.

    Raises:
        OSError: it cannot be written; names the file.
    """
    entries = [journal.entries[index] for index in sorted(journal.entries)]
    rejected = [entry for entry in entries if entry.rejected]
    if rejected:
        write_whole(journal.place, REJECTS, lambda file: _join_rejects(file, journal.place, rejected))
    staged = staged_kind(target, work)
    if not target.single:
        if staged == target.kind and not work.settles:
            return len(entries), sum(entry.bytes for entry in entries)
        total = 0
        for entry in entries:
            part = _settled(journal.place, entry, staged, target.kind, work)
            name = part_name(entry.index, target.kind)
            total += write_whole(
                journal.place, name, lambda file, part=part: write_part(file, part, target.kind)
            )
        return len(entries), total
    joined = None if joining is None else joining.finish(len(entries))
    if joined is not None:
        return 1, joined
    name = f"assembled.{target.kind}"
    if staged == target.kind and staged != "npy":  # CSV: its bytes, one part after the other
        return 1, write_whole(journal.place, name, lambda file: _join_bytes(file, journal.place, entries))
    rows = sum(entry.rows for entry in entries)
    parts = (_settled(journal.place, entry, staged, target.kind, work) for entry in entries)
    return 1, write_whole(journal.place, name, lambda file: join_parts(file, parts, target.kind, rows))


def publish(target: Target, journal: Journal, summary: dict[str, Any], keep_summary: bool) -> None:
    """Move what was assembled to where it belongs, and remove the staging folder.

    Raises:
        OSError, BadInput: it cannot be moved; names the place.
    """
    staging = journal.place
    with naming_failures(target.place):
        if not target.single:
            _publish_folder(target, journal, summary)
            return
        rejects, whole = staging.joinpath(REJECTS), staging.joinpath(f"assembled.{target.kind}")
        if rejects.exists():
            rejects.rename_to(target.rejects)
        elif not summary["rejected"]:
            target.rejects.remove()  # of an earlier run
        if whole.exists():
            whole.rename_to(target.place)
        if keep_summary:
            write_json(staging, COPY, summary)
            staging.joinpath(COPY).rename_to(target.summary)
        else:
            target.summary.remove()
        journal.clear()


def _publish_folder(target: Target, journal: Journal, summary: dict[str, Any]) -> None:
    staging, out = journal.place, target.place
    kept = {HEADER, SUMMARY, REJECTS, LOCK}
    for child in list(staging.iterdir()):
        if child.name not in kept and not _is_final_part(child.name, target.kind):
            child.remove()
    if staging.path is None:
        _publish_objects(target, staging, summary)
        return
    old = out.with_name(f".{out.name}.replaced")
    old.remove()
    if out.exists():
        out.rename_to(old)
    staging.rename_to(out)
    old.remove()
    for name in (HEADER, LOCK):
        out.joinpath(name).remove()


def _publish_objects(target: Target, staging: Place, summary: dict[str, Any]) -> None:
    """Object by object, the summary last: where it is, all is."""
    out = target.place
    earlier = read_json(out.joinpath(SUMMARY))
    if earlier is not None and earlier.get("run") != summary["run"]:  # not what this one has moved already
        out.remove()
    for child in list(staging.iterdir()):
        if child.name not in (HEADER, SUMMARY):
            child.rename_to(out.joinpath(child.name))
    write_json(out, SUMMARY, summary)
    for name in (HEADER, SUMMARY):
        staging.joinpath(name).remove()
    with suppress(Exception):  # object stores have no folders
        staging.remove()


def _is_final_part(name: str, kind: Kind) -> bool:
    return name.startswith("part-") and name.partition(".")[2] == kind


def _settled(staging: Place, entry: Entry, staged: Kind, kind: Kind, work: Work) -> Part:
    part = read_part(staging.joinpath(entry.part), staged)
    if work.settles:
        part = work.settle(part)
    return Part(table=plain_table(part.table)) if kind == "arrow" and part.table is not None else part


def _join_bytes(file: Any, staging: Place, entries: list[Entry]) -> None:
    for entry in entries:
        for data in _pieces(staging.joinpath(entry.part)):
            file.write(data)


def _join_rejects(file: Any, staging: Place, entries: list[Entry]) -> None:
    file.write(HEAD)
    for entry in entries:
        for data in _pieces(staging.joinpath(rejects_name(entry.index))):
            file.write(data)


def _pieces(place: Place) -> Iterator[bytes]:
    with place.open("rb") as file:
        while data := file.read(SLICE):
            yield data
