"""Denoising in batches: the rows of a file with the likely clean version in the place of the model's columns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ebm.batch.columns import replace_columns
from ebm.batch.generate import require
from ebm.batch.intake import Intake
from ebm.batch.seeds import groups, rows_together, seed_of
from ebm.batch.spec import DenoiseOptions
from ebm.batch.work import Part
from ebm.data.streams import Bad, Block, Mark, Source
from ebm.data.table import Values, concat_rows, take_rows
from ebm.denoising import check_noise
from ebm.detector import Detector
from ebm.errors import BadInput
from ebm.sieve import sieve

FAR = "lies too far from the training data to be denoised"


class Clean(NamedTuple):
    """rows: clean versions, None where there are none; far: which of the rows that were given have none."""

    rows: Values | None
    far: list[int]


class DenoiseWork:
    """As `ebm.batch.work.Work`. Tables keep their own columns, those of the model hold clean values, null in rows that
    cannot be denoised; pictures become columns x0, x1, ... beside their files' names. As npy: float32 in the shape of
    the rows that were read, NaN in such rows.

    Args: as `Detector.denoise`. With method 'langevin' each group of rows draws with a seed of its own, see
        `ebm.batch.seeds`.

    Raises:
        Unsupported: what the model cannot do. BadInput: options that do not go together, columns that are missing.
    """

    settles = False
    numbers_per_chunk = 2**19

    def __init__(self, detector: Detector, options: DenoiseOptions, source: Source, npy: bool = False):
        require(detector, "denoise", npy)
        check_noise(options.noise, detector.preprocessor, options.sigma, options.method)
        self.detector, self.options, self.npy = detector, options, npy
        self.how = options.model_dump(exclude={"kind", "seed"})
        self.intake = Intake(detector, source)
        self.together = rows_together(detector.input_shape)
        # Of the columns of a model of mixed types, for parts where no row is clean.
        self.types = _types(detector)

    def part(self, block: Block, index: int) -> Part:
        found = [self._group(block, *span) for span in groups(block.start.row, len(block), self.together)]
        table = pa.concat_tables([table for table, *_ in found])
        used, bad = found[0][1], tuple(one for *_, more in found for one in more)
        rows = [clean for _, _, clean, _ in found if clean is not None]
        lost = {one.row - block.start.row for one in bad}
        good = np.setdiff1d(np.arange(len(block)), list(lost), assume_unique=True)
        tally = {"denoised": len(good)}
        clean = concat_rows(rows) if rows else None
        if self.npy:
            return Part(values=self._as_values(clean, good, block), bad=bad, tally=tally)
        columns = self._as_columns(clean, good, len(block), used)
        if block.table is None and not used:  # pictures of an array: no columns of their own
            return Part(table=pa.table(columns), bad=bad, tally=tally)
        return Part(table=replace_columns(table, columns), bad=bad, tally=tally)

    def summary(self, tallies: Iterable[dict[str, Any]], rows: int) -> dict[str, Any]:
        options = self.options.model_dump(exclude={"kind"}, exclude_none=True)
        return {
            "denoised": sum(one["denoised"] for one in tallies),
            **options,
            "rows_per_seed": self.together,
        }

    def settle(self, part: Part) -> Part:
        return part

    # -- helpers --------------------------------------------------------------------------------------------------

    def _group(
        self, block: Block, start: int, stop: int
    ) -> tuple[pa.Table, tuple[str, ...], Values | None, tuple[Bad, ...]]:
        """Own columns, names of the model's, clean rows of those that can be, and the others."""
        first = block.start.row + start
        part = Block(
            Mark(first),
            Mark(first + stop - start),
            None if block.table is None else block.table.slice(start, stop - start),
            None if block.values is None else block.values[start:stop],
            tuple(one for one in block.bad if first <= one.row < first + stop - start),
        )
        seed = seed_of(self.options.seed, first)
        taken = self.intake.take(part, lambda values: self._clean(values, seed))
        if taken.result is None:
            return taken.table, taken.used, None, taken.bad
        places = np.arange(stop - start) if taken.kept is None else taken.kept
        far = [Bad(first + int(places[i]), FAR) for i in taken.result.far]
        bad = tuple(sorted([*taken.bad, *far], key=lambda one: one.row))
        return taken.table, taken.used, taken.result.rows, bad

    def _clean(self, values: Values, seed: int) -> Clean:
        """Raises BadInput for rows that the model does not take, or options out of range."""
        self.detector.preprocessor.transform(values)  # its errors are of rows that `Intake` then leaves out
        kept = np.arange(len(values))
        while len(kept):
            rows = values if len(kept) == len(values) else take_rows(values, kept)
            try:
                return Clean(self._denoised(rows, seed), self._without(kept, len(values)))
            except BadInput as error:
                if error.row is None:
                    raise
                # The clean version is no number. A sieve finds all such rows in few tries.
                found = sieve(rows, lambda some: self._denoised(some, seed))[2]
                kept = np.delete(kept, [one.row for one in found] or [error.row])
        return Clean(None, self._without(kept, len(values)))

    @staticmethod
    def _without(kept: np.ndarray, n: int) -> list[int]:
        return np.setdiff1d(np.arange(n), kept, assume_unique=True).tolist()

    def _denoised(self, values: Values, seed: int) -> Values:
        return self.detector.denoise(values, seed=seed, **self.how)

    def _as_values(self, clean: Values | None, good: np.ndarray, block: Block) -> np.ndarray:
        shape = (math.prod(self.detector.input_shape),) if block.values is None else block.values.shape[1:]
        out = np.full((len(block), *shape), np.nan, np.float32)
        if clean is not None:
            assert isinstance(clean, np.ndarray)
            out[good] = clean.reshape(len(good), *shape)
        return out

    def _as_columns(
        self, clean: Values | None, good: np.ndarray, n: int, used: tuple[str, ...]
    ) -> dict[str, pa.Array | pa.ChunkedArray]:
        """By the names in the file; null where there is no clean row."""
        width = math.prod(self.detector.input_shape)
        names = used or tuple(self.detector.columns or [f"x{i}" for i in range(width)])
        mask = np.ones(n, bool)
        mask[good] = False
        if self.types is not None:
            at = np.zeros(n, np.int64)
            at[good] = np.arange(len(good))
            index = pa.array(at, mask=mask)
            rows: Any = self.types.empty_table() if clean is None else clean
            cells = [column.cast(field.type) for column, field in zip(rows.columns, self.types, strict=True)]
            return {name: column.take(index) for name, column in zip(names, cells, strict=True)}
        flat = np.zeros((n, width), np.float32)
        if clean is not None:
            assert isinstance(clean, np.ndarray)
            flat[good] = clean.reshape(len(good), width)
        return {name: pa.array(flat[:, i], mask=mask, from_pandas=True) for i, name in enumerate(names)}


def _types(detector: Detector) -> pa.Schema | None:
    state = detector.sampling
    assert state is not None
    row: Any = detector.preprocessor.inverse(state.mean.cpu().numpy()[None])
    return row.schema if isinstance(row, pa.Table) else None
