"""Scoring in batches: energy, anomaly_score, p_value and is_anomaly beside the own columns of every row."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from ebm.batch.columns import replace_columns
from ebm.batch.intake import Intake
from ebm.batch.spec import ScoreOptions
from ebm.batch.summary import benjamini_hochberg_threshold, summary_of
from ebm.batch.tally import Tally
from ebm.batch.work import Part
from ebm.data.streams import Bad, Block, Source
from ebm.data.table import Values
from ebm.detector import Detector
from ebm.errors import BadInput

SLAB = 8192
NEW = ("energy", "anomaly_score", "p_value", "is_anomaly")


class ScoreWork:
    """As `ebm.batch.work.Work`. As npy: (n, 4) float64, the columns of `NEW`, NaN for rows that cannot be scored.

    Raises:
        BadInput: the source does not have the model's columns.
    """

    numbers_per_chunk = 2**23

    def __init__(self, detector: Detector, options: ScoreOptions, source: Source, npy: bool = False):
        if options.fpr is not None and options.fdr is not None:
            raise BadInput("give fpr or fdr, not both")
        self.detector, self.options, self.npy = detector, options, npy
        self.fdr = options.fdr
        default = detector.manifest.calibration.default_fpr
        self.fpr = None if options.fdr is not None else (options.fpr or default)
        self.intake = Intake(detector, source)
        # Takes a second, and the summary needs it in the end: beside the computing it costs nothing.
        threading.Thread(target=importlib.import_module, args=("scipy.stats",), daemon=True).start()
        self.settles = self.fdr is not None
        self.threshold = self.fpr

    def part(self, block: Block, index: int) -> Part:
        taken = self.intake.take(block, self._energies)
        n, first, bad = len(block), block.start.row, taken.bad
        energy = np.full(n, np.nan, np.float32)
        if taken.result is not None:
            energy[slice(None) if taken.kept is None else taken.kept] = taken.result
            bad = _with_nan(energy, taken.kept, first, bad)
        good = ~np.isnan(energy) if bad else np.ones(n, bool)
        every = not bad
        score, p = np.full(n, np.nan), np.full(n, np.nan)
        score[good], p[good] = self.detector.measure(energy if every else energy[good])
        tally = Tally(self.detector.calibration, self.options.worst)
        rows = np.arange(first, first + n)
        if every:
            tally.add(rows, energy, score, p)
        else:
            tally.add(rows[good], energy[good], score[good], p[good])
        anomalies = None if self.threshold is None else int((p <= self.threshold).sum())
        facts: dict[str, Any] = {"bad": bad, "anomalies": anomalies, "tally": tally.as_json()}
        if self.npy:
            flags = (
                np.full(n, np.nan) if self.threshold is None else np.where(good, p <= self.threshold, np.nan)
            )
            return Part(values=np.column_stack([energy.astype(np.float64), score, p, flags]), **facts)
        mask = None if every else ~good
        flags = (
            pa.nulls(n, pa.bool_())
            if self.threshold is None
            else pa.array(p <= self.threshold, pa.bool_(), mask=mask)
        )
        columns = (energy, score, p)
        new = {name: pa.array(c, mask=mask) for name, c in zip(NEW, columns, strict=False)} | {NEW[3]: flags}
        return Part(table=replace_columns(taken.table, new), **facts)

    def _energies(self, values: Values) -> np.ndarray:
        """Of rows that fit the cache at a time: their number does not change an energy."""
        slabs = range(0, len(values), SLAB)
        return np.concatenate([self.detector.energies(values[at : at + SLAB]) for at in slabs])

    def summary(self, tallies: Iterable[dict[str, Any]], rows: int) -> dict[str, Any]:
        tally = Tally.merged(tallies, self.detector.calibration, self.options.worst)
        if self.fdr is not None:
            self.threshold = benjamini_hochberg_threshold(tally.counts, self.fdr)
        found = summary_of(tally, self.detector, rows=rows, fpr=self.fpr, fdr=self.fdr)
        p_values, number = tally.counts.p_values, tally.counts.by_p_value
        flagged = 0 if self.threshold is None else int(number[p_values <= self.threshold].sum())
        return {"anomalies": flagged, "threshold": self.threshold} | found

    def settle(self, part: Part) -> Part:
        limit = -1.0 if self.threshold is None else self.threshold
        if part.values is not None:
            p = part.values[:, 2]
            part.values[:, 3] = np.where(np.isnan(p), np.nan, p <= limit)
            return part
        assert part.table is not None
        p = part.table["p_value"].to_numpy()
        missing = np.isnan(p)
        flags = pa.array(p <= limit, pa.bool_(), mask=missing if missing.any() else None)
        return Part(table=replace_columns(part.table, {NEW[3]: flags}))


def _with_nan(
    energy: np.ndarray, kept: np.ndarray | None, first: int, bad: tuple[Bad, ...]
) -> tuple[Bad, ...]:
    """`bad` and the rows whose energy is no number."""
    nan = np.isnan(energy)
    if not nan.any() or (kept is not None and nan.sum() == len(energy) - len(kept)):
        return bad
    known = {one.row for one in bad}
    new = [Bad(first + row, "the energy is NaN") for row in np.flatnonzero(nan).tolist()]
    return tuple(sorted([*bad, *(one for one in new if one.row not in known)]))
