"""From what a batch run is to do to what does it."""

from __future__ import annotations

from ebm.batch.spec import BatchSpec, DenoiseOptions, GenerateOptions
from ebm.batch.work import Work
from ebm.data.streams import Source
from ebm.detector import Detector


def make_work(spec: BatchSpec, detector: Detector, source: Source, npy: bool) -> Work:
    """Args: npy: give `Part.values`, not `Part.table`.

    Raises:
        BadInput, Unsupported: the model does not take this source, or cannot do this.
    """
    if isinstance(spec.options, DenoiseOptions):
        from ebm.batch.denoise import DenoiseWork

        return DenoiseWork(detector, spec.options, source, npy)
    if isinstance(spec.options, GenerateOptions):
        from ebm.batch.generate import GenerateWork

        return GenerateWork(detector, spec.options, npy)
    from ebm.batch.score import ScoreWork

    return ScoreWork(detector, spec.options, source, npy)
