"""A batch run: a source, what is done to its chunks, and a staging folder that makes it resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ebm.batch.chunks import all_alike, missing
from ebm.batch.formats import Kind, write_part
from ebm.batch.inputs import open_input, rows_that_fit
from ebm.batch.joining import Joining
from ebm.batch.journal import SUMMARY, Entry, write_json, write_whole
from ebm.batch.kinds import make_work
from ebm.batch.pipeline import pipelined
from ebm.batch.publish import assemble, joins, part_name, publish, staged_kind
from ebm.batch.rejects import as_error, reject_lines, rejects_name
from ebm.batch.spec import BatchSpec
from ebm.batch.staging import Busy, Staging, discard, facts_of
from ebm.batch.target import Target
from ebm.batch.work import Part
from ebm.data.streams import Block, Mark
from ebm.detector import Detector
from ebm.errors import BadInput, Cancelled

__all__ = ["BatchRun", "Busy", "ChunkDone", "discard", "run_batch"]


class ChunkDone(NamedTuple):
    """A chunk that is durable; anomalies: of it, where that can be told before all chunks are there."""

    index: int
    rows: int
    rejected: int
    anomalies: int | None


class BatchRun:
    """Made by `open`. `steps`, then `finish`, then `close`; or `todo` and `do`, in as many processes as there are.

    spec: what is done. rows_per_chunk: resolved. n_rows: of the input; None where only reading tells."""

    def __init__(self, spec: BatchSpec, detector: Detector, target: Target):
        self.spec, self.detector, self.target = spec, detector, target
        self.source = open_input(spec, detector)
        try:
            self.work = make_work(spec, detector, self.source, target.kind == "npy")
            self.n_rows = self.source.n_rows
            if self.n_rows == 0:
                raise BadInput(f"{self.source.name}: no rows")
            self.rows_per_chunk = spec.rows_per_chunk or rows_that_fit(
                self.source, detector, self.work.numbers_per_chunk
            )
            self._identity = self.source.identity()
        except BaseException:
            self.source.close()
            raise
        facts = facts_of(spec, target, detector, self._identity, self.rows_per_chunk)
        self._staging = Staging(spec, target, facts)
        self.journal = self._staging.journal
        self._kind: Kind = staged_kind(target, self.work)
        self._joining = Joining(self.journal, target.kind) if joins(target, self.work) else None
        self._chunks: int | None = None  # known once the end of the source was seen
        self._hopeless = False
        self._began = time.monotonic()

    @classmethod
    def open(cls, spec: BatchSpec, *, detector: Detector | None = None, fresh: bool = False) -> BatchRun:
        """Check input, model and output; then claim the staging folder, or go on with what an earlier process left.

        Where another process has the lock of the same run's folder, the run is opened beside it: `do` works.

        Args:
            detector: the model, where it is loaded already.
            fresh: drop what an earlier process left.

        Raises:
            BadInput: of input, output or options; or the staging folder holds another run. Busy: another process is at
                work on another run there. BadArtifact: the model. Unsupported: what the model cannot do.
            OSError: the staging folder cannot be written.
        """
        target = Target.of(spec)
        if detector is None:
            from ebm import artifact

            detector = artifact.load(spec.model, device=spec.device)
        run = cls(spec, detector, target)
        try:
            run._staging.claim(fresh)
        except BaseException:
            run.close()
            raise
        return run

    @property
    def resumed(self) -> bool:
        """Whether an earlier process had done some of it."""
        return self._staging.resumed or self._staging.published

    # -- progress -------------------------------------------------------------------------------------------------

    @property
    def rows_done(self) -> int:
        if self._staging.summary is not None:
            return int(self._staging.summary["rows"])
        return sum(entry.rows for entry in self.journal.entries.values())

    @property
    def rejected(self) -> int:
        if self._staging.summary is not None:
            return int(self._staging.summary["rejected"])
        return sum(entry.rejected for entry in self.journal.entries.values())

    @property
    def anomalies(self) -> int | None:
        """So far; None where that can be told only at the end."""
        if self._staging.summary is not None:
            return self._staging.summary.get("anomalies")
        found = [entry.anomalies for entry in self.journal.entries.values()]
        known = [number for number in found if number is not None]
        return sum(known) if len(known) == len(found) and found else None

    @property
    def complete(self) -> bool:
        """Whether an earlier process did all the work, and perhaps published it."""
        return self._staging.summary is not None

    # -- the work -------------------------------------------------------------------------------------------------

    def steps(self, should_stop: Callable[[], bool] | None = None) -> Iterator[ChunkDone]:
        """Do all chunks that are not durable, in order; yields each when it is.

        Raises:
            BadInput: with on_error "fail", the first row that cannot be used; always, what is wrong with the whole.
            OSError: a part cannot be written. Busy: another process is at it. Cancelled: `should_stop` said so.
        """
        if self._staging.summary is not None:
            return
        self._staging.require_lock()
        self.journal.refresh()

        def check() -> None:
            if should_stop is not None and should_stop():
                raise Cancelled

        def compute(item: tuple[int, Block]) -> tuple[int, Block, Part]:
            return *item, self._compute(*item)

        def write(made: tuple[int, Block, Part]) -> ChunkDone:
            done = self._write(*made)
            if self._joining is not None:
                self._joining.add(done.index, made[2])
            return done

        try:
            yield from pipelined(self._missing(), compute, write, check)
        except Cancelled:
            raise Cancelled(f"stopped after {self.rows_done:,} rows") from None

    def todo(self) -> Iterator[tuple[int, Mark]]:
        """The chunks that are not durable, for `do`.

        Raises:
            BadInput: the source can only be read from its beginning. Busy: another process is at it.
        """
        if self._staging.summary is not None:
            return
        self._staging.require_lock()
        if not self.source.random_access:
            raise BadInput(
                f"{self.source.name}: can only be read from its beginning, so its chunks cannot be spread over "
                "processes; convert it to Parquet"
            )
        self.journal.refresh()
        index = -1
        for index, mark in enumerate(self.source.marks(self.rows_per_chunk)):
            if index not in self.journal.entries:
                yield index, mark
        self._chunks = index + 1

    def do(self, index: int, mark: Mark) -> ChunkDone:
        """One chunk of `todo`, in this or another process; done twice, it is the same."""
        block = next(iter(self.source.blocks(self.rows_per_chunk, Mark(*mark))), None)
        if block is None:
            raise BadInput(f"{self.source.name}: has no row {mark[0]} any more")
        return self._write(index, block, self._compute(index, block))

    def refresh(self) -> None:
        """Look for chunks that other processes made durable."""
        self.journal.refresh()

    def finish(self) -> dict[str, Any]:
        """Publish the output, once all chunks are durable; its summary. Again, it does what is left to do, if anything.

        Raises:
            BadInput: chunks are missing, or the input has changed meanwhile. OSError: it cannot be written. Busy.
        """
        if self._staging.published:
            assert self._staging.summary is not None
            return self._staging.summary
        self._staging.require_lock()
        if self._staging.summary is None:
            self._check_complete()
            rows = self.rows_done
            summary = self.work.summary(self.journal.tallies(), rows)
            parts, size = assemble(self.target, self.journal, self.work, self._joining)
            output = {"path": str(self.target.place), "parts": parts, "bytes": size}
            about = {"model": self.detector.name, "version": self.detector.version, "rows": rows}
            rejects = {
                "rejected": self.rejected,
                "rejects": str(self.target.rejects) if self.rejected else None,
            }
            seconds = {"seconds": round(time.monotonic() - self._began, 3), "run": self._staging.run}
            found = about | rejects | summary | {"output": output} | seconds
            write_json(self.target.staging, SUMMARY, found)  # from here on all that is left is to move files
            self._staging.summary = found
        publish(self.target, self.journal, self._staging.summary, self.spec.summary)
        self._staging.published = True
        return self._staging.summary

    def close(self) -> None:
        """Let go of the source and the lock. What is durable stays, for whoever goes on."""
        self.source.close()
        if self._joining is not None:
            self._joining.drop()
        self._staging.close(self._hopeless)

    def __enter__(self) -> BatchRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- helpers --------------------------------------------------------------------------------------------------

    def _missing(self) -> Iterator[tuple[int, Block]]:
        self._chunks = yield from missing(self.source, self.rows_per_chunk, self.journal.entries)
        if not self._chunks:
            raise BadInput(f"{self.source.name}: no rows")

    def _compute(self, index: int, block: Block) -> Part:
        part = self.work.part(block, index)
        if part.bad and self.spec.on_error == "fail":
            self._hopeless = True
            raise as_error(part.bad[0], self.source.name)
        if index == 0 and all_alike(block):
            raise as_error(block.bad[0], self.source.name)
        return part

    def _write(self, index: int, block: Block, part: Part) -> ChunkDone:
        staging = self.target.staging
        name = part_name(index, self._kind)
        # One file of CSV is its parts one after the other: the first brings the header.
        header = not self.target.single or index == 0
        size = write_whole(staging, name, lambda file: write_part(file, part, self._kind, header))
        if part.bad:
            write_whole(staging, rejects_name(index), lambda file: file.write(reject_lines(part.bad)))
        entry = Entry(index, block.start, block.end, len(part.bad), part.anomalies, name, size)
        self.journal.record(entry, part.tally)
        return ChunkDone(index, entry.rows, entry.rejected, entry.anomalies)

    def _check_complete(self) -> None:
        self.journal.refresh()
        entries = self.journal.entries
        done = self.journal.run_of_done()
        whole = done == len(entries) and done > 0
        if whole and self._chunks is None:
            end = entries[done - 1].end
            whole = next(iter(self.source.blocks(self.rows_per_chunk, end)), None) is None
        elif whole:
            whole = done == self._chunks
        if not whole or (self.n_rows is not None and self.rows_done != self.n_rows):
            raise BadInput(
                f"{self.target.place}: not all rows are done ({self.rows_done:,}): go on with `steps`"
            )
        if self.source.identity() != self._identity:
            raise BadInput(f"{self.source.name}: was changed while it was read; begin afresh")


def run_batch(
    spec: BatchSpec,
    *,
    detector: Detector | None = None,
    fresh: bool = False,
    on_progress: Callable[[BatchRun, ChunkDone], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """All of it: open, do what is not done, publish; the summary.

    Raises:
        As `BatchRun.open`, `steps` and `finish`. Whatever it is, what is durable stays, and the same call goes on.
    """
    with BatchRun.open(spec, detector=detector, fresh=fresh) as run:
        for done in run.steps(should_stop):
            if on_progress is not None:
                on_progress(run, done)
        return run.finish()
