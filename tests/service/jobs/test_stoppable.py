"""Samplers that are told to stop between two of their steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from job_harness import MODELS

from ebm.artifact import load
from ebm.detector import Detector
from ebm.errors import Cancelled
from service.jobs.stoppable import stoppable

Call = Callable[[Detector], np.ndarray]
ROWS = np.random.default_rng(0).gamma(4.0, 3.0, (4, 30))
CALLS: dict[str, Call] = {
    "generate": lambda model: model.generate(4, seed=1, n_steps=2).samples,
    "denoise": lambda model: model.denoise(ROWS, sigma=1.0, method="langevin", n_steps=8, seed=1),
}


@pytest.fixture(scope="module")
def model() -> Detector:
    return load(MODELS / "breast-cancer" / "2")


@pytest.mark.parametrize("name", CALLS)
def test_it_gives_what_the_model_gives_and_stops_at_the_step_it_is_told_to(
    model: Detector, name: str
) -> None:
    asked: list[int] = []
    twin = stoppable(model, lambda: asked.append(1) is not None)
    np.testing.assert_array_equal(CALLS[name](twin), CALLS[name](model))
    n_steps = len(asked)
    assert n_steps > 5
    asked.clear()
    twin = stoppable(model, lambda: asked.append(1) is not None or len(asked) == 4)
    with pytest.raises(Cancelled):
        CALLS[name](twin)
    assert len(asked) == 4
    np.testing.assert_array_equal(twin.score(ROWS).energy, model.score(ROWS).energy)
