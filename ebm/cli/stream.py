"""Scores to stdout: CSV as it is computed, or one JSON document."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebm.cli.common import print_json, say

if TYPE_CHECKING:
    from ebm.batch.score import ScoreWork
    from ebm.batch.spec import BatchSpec
    from ebm.batch.work import Part
    from ebm.detector import Detector


def score_to_stdout(spec: BatchSpec, detector: Detector, as_json: bool) -> None:
    """The rows of `spec.input` in `spec.options`' rates; its output is not used.

    Raises:
        BadInput: as `ebm.batch.run.BatchRun`; CSV that is written already stays written.
    """
    from ebm.batch.spec import ScoreOptions

    assert isinstance(spec.options, ScoreOptions)
    if as_json:
        _json(spec, detector)
    elif spec.options.fdr is not None:
        _after_all(spec, detector)
    else:
        _csv(spec, detector)


def _csv(spec: BatchSpec, detector: Detector) -> None:
    from ebm.cli.output import write_csv

    work, parts = _parts(spec, detector)
    rows = rejected = 0
    for index, part in enumerate(parts):
        assert part.table is not None
        write_csv(part.table, sys.stdout.buffer, header=index == 0)
        sys.stdout.buffer.flush()
        rows += len(part.table)
        rejected += len(part.bad)
    _remarks(detector.calibration.note(fpr=work.fpr, rows=rows), rejected)


def _after_all(spec: BatchSpec, detector: Detector) -> None:
    """Which rows are flagged depends on all of them: they wait in a temporary folder."""
    from ebm.batch.run import run_batch

    with tempfile.TemporaryDirectory(prefix="ebm-score-") as folder:
        path = Path(folder) / "scores.csv"
        found = run_batch(spec.model_copy(update={"output": str(path), "summary": False}), detector=detector)
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
    sys.stdout.buffer.flush()
    _remarks(found["note"], found["rejected"])


def _json(spec: BatchSpec, detector: Detector) -> None:
    import numpy as np
    import pyarrow as pa

    from ebm.batch.score import NEW
    from ebm.calibration import benjamini_hochberg
    from ebm.cli.scores import for_json

    work, parts = _parts(spec, detector)
    tables, bad = [], []
    for part in parts:
        assert part.table is not None
        tables.append(part.table.select(NEW))
        bad += [{"row": one.row, "column": one.column, "reason": one.reason} for one in part.bad]
    table = pa.concat_tables(tables)
    scores: dict[str, Any] = {name: table[name].to_numpy() for name in NEW[:3]}
    p = scores["p_value"]
    known = ~np.isnan(p)
    flags = np.zeros(len(p), bool)
    flags[known] = p[known] <= work.fpr if work.fdr is None else benjamini_hochberg(p[known], work.fdr)
    rows = int(known.sum())
    about = {
        "model": detector.name,
        "version": detector.version,
        "higher_is_more_anomalous": True,
        "fpr": work.fpr,
        "fdr": work.fdr,
        "note": detector.calibration.note(fpr=work.fpr, fdr=work.fdr, rows=rows),
    }
    print_json({**about, **for_json({**scores, "is_anomaly": flags}), **({"rejects": bad} if bad else {})})


def _parts(spec: BatchSpec, detector: Detector) -> tuple[ScoreWork, Iterator[Part]]:
    """What is done, and its parts one after the other, the next block being read meanwhile."""
    from ebm.batch.inputs import open_input, rows_that_fit
    from ebm.batch.pipeline import pipelined
    from ebm.batch.rejects import as_error
    from ebm.batch.score import ScoreWork
    from ebm.batch.spec import ScoreOptions

    assert isinstance(spec.options, ScoreOptions)
    source = open_input(spec, detector)
    work = ScoreWork(detector, spec.options, source)

    def compute(item: tuple[int, Any]) -> Part:
        part = work.part(item[1], item[0])
        if part.bad and spec.on_error == "fail":
            raise as_error(part.bad[0], source.name)
        return part

    blocks = enumerate(
        source.blocks(spec.rows_per_chunk or rows_that_fit(source, detector, work.numbers_per_chunk))
    )
    return work, pipelined(blocks, compute, lambda part: part, lambda: None)


def _remarks(note: str | None, rejected: int) -> None:
    if note:
        say(f"note: {note}")
    if rejected:
        count = "1 row" if rejected == 1 else f"{rejected:,} rows"
        say(f"{count} could not be scored; with --output they are listed")
