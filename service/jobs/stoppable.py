"""A model whose samplers stop between two of their steps: a chunk of theirs may take minutes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ebm.errors import Cancelled
from ebm.steps import Steps

if TYPE_CHECKING:
    from ebm.detector import Detector


def stoppable(detector: Detector, should_stop: Callable[[], bool]) -> Detector:
    """The same model, whose `generate` and `denoise` raise Cancelled once `should_stop` says so."""
    twin = copy.copy(detector)
    twin.generate_steps = _asking(detector.generate_steps, should_stop)
    twin.denoise_steps = _asking(detector.denoise_steps, should_stop)
    return twin


def _asking(
    call: Callable[..., Steps[Any, None, Any]], should_stop: Callable[[], bool]
) -> Callable[..., Any]:
    def steps(*args: Any, **options: Any) -> Steps[Any, None, Any]:
        under_way = call(*args, **options)
        while True:
            if should_stop():
                under_way.close()
                raise Cancelled("stopped inside a chunk")
            try:
                step = next(under_way)
            except StopIteration as end:
                return end.value
            yield step

    return steps
