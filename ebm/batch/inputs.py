"""The source of a batch run, and how many of its rows make a chunk."""

from __future__ import annotations

import math

from ebm.batch.spec import BatchSpec, GenerateOptions
from ebm.batch.work import Counted
from ebm.data.streams import Source
from ebm.detector import Detector
from ebm.errors import BadInput

MOST, STEP = 131_072, 1024  # rows of it


def open_input(spec: BatchSpec, detector: Detector) -> Source:
    """Raises BadInput where there is none, or it cannot be read."""
    if isinstance(spec.options, GenerateOptions):
        if spec.input is not None:
            raise BadInput("to generate takes no input")
        return Counted(spec.options.n)
    if spec.input is None:
        raise BadInput("no input is given")
    from ebm.data.streams import open_source

    return open_source(spec.input, schema=detector.manifest.input)


def rows_that_fit(source: Source, detector: Detector, numbers: int) -> int:
    """About so many numbers, those of the file's other columns included; at most 131,072 rows."""
    width = max(math.prod(detector.input_shape), len(source.columns or ()), 1)
    rows = min(MOST, max(numbers // width, 16))
    return rows // STEP * STEP if rows >= STEP else rows
