"""Generation in batches: new rows, chunk by chunk, each group of them with a seed of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from ebm.batch.seeds import groups, rows_together, seed_of
from ebm.batch.spec import GenerateOptions
from ebm.batch.work import Part
from ebm.data.streams import Block
from ebm.data.table import concat_rows
from ebm.detector import Detector
from ebm.errors import BadInput, Unsupported


class GenerateWork:
    """As `ebm.batch.work.Work`. A table of the model's columns, or, as npy, (n, *input_shape).

    Raises:
        Unsupported: the model has no sampler. BadInput: npy of rows of mixed types.
    """

    settles = False
    numbers_per_chunk = 2**17

    def __init__(self, detector: Detector, options: GenerateOptions, npy: bool = False):
        require(detector, "generate", npy)
        self.detector, self.options, self.npy = detector, options, npy
        self.together = rows_together(detector.input_shape)

    def part(self, block: Block, index: int) -> Part:
        asked = self.options
        how = {"n_steps": asked.n_steps, "step_size": asked.step_size, "label": asked.label}
        first, made = block.start.row, []
        for start, stop in groups(first, len(block), self.together):
            seed = seed_of(asked.seed, first + start)
            made.append(self.detector.generate(stop - start, seed=seed, **how).samples)
        samples = concat_rows(made)
        if isinstance(samples, pa.Table):
            return Part(table=samples)
        return Part(values=samples) if self.npy else Part(table=as_table(samples, self.detector))

    def summary(self, tallies: Iterable[dict[str, Any]], rows: int) -> dict[str, Any]:
        options = self.options.model_dump(exclude={"kind", "n"}, exclude_none=True)
        return {"generated": rows, **options, "rows_per_seed": self.together}

    def settle(self, part: Part) -> Part:
        return part


def require(detector: Detector, operation: str, npy: bool) -> None:
    """Raises Unsupported where the model cannot do it, BadInput where its rows are no array."""
    if operation not in detector.can:
        able = ", ".join(sorted(detector.can))
        raise Unsupported(f"model {detector.name} cannot {operation}; it can {able}")
    if npy and getattr(detector.preprocessor, "frame", False):
        raise BadInput(
            f"model {detector.name} has rows of mixed types, which .npy cannot hold; use .csv or .parquet"
        )


def as_table(samples: np.ndarray, detector: Detector) -> pa.Table:
    """(n, ...) as columns by the model's names, pixels as x0, x1, ..."""
    flat = samples.reshape(len(samples), math.prod(detector.input_shape))
    names = detector.columns or [f"x{i}" for i in range(flat.shape[1])]
    return pa.table({name: flat[:, i] for i, name in enumerate(names)})
