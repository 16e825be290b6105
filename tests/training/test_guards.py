"""Each way a run can go wrong, and that a healthy one is left alone."""

from __future__ import annotations

import math

import pytest

from ebm.errors import Diverged
from ebm.training.guards import Guard

HEALTHY = {"loss": 0.3, "gradient_norm": 1.0, "real": -2.0, "fake": 1.0, "spread": 0.5, "saturation": 0.4}


def test_a_healthy_run_passes() -> None:
    guard = Guard()
    for step in range(200):
        guard.check(step, HEALTHY)


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_whatever_is_not_finite_is_named(name: str, value: float) -> None:
    with pytest.raises(Diverged, match=f"^step 7: {name} is not finite$"):
        Guard().check(7, HEALTHY | {name: value})


@pytest.mark.parametrize("name", ["real", "fake"])
def test_exploding_energies(name: str) -> None:
    with pytest.raises(Diverged, match=rf"step 7: energies explode \(mean E\({name}\) = -2e\+07\)"):
        Guard().check(7, HEALTHY | {name: -2e7})


@pytest.mark.parametrize(
    ("bad", "reason"), [({"saturation": 1.0}, "saturated"), ({"spread": 1e-9}, "collapsed to one value")]
)
def test_what_must_last_before_it_counts(bad: dict[str, float], reason: str) -> None:
    guard = Guard(patience=5)
    for step in range(4):
        guard.check(step, HEALTHY | bad)
    guard.check(4, HEALTHY)  # one good step starts the count again
    for step in range(5, 9):
        guard.check(step, HEALTHY | bad)
    with pytest.raises(Diverged, match=reason):
        guard.check(9, HEALTHY | bad)
    guard.reset()
    guard.check(10, HEALTHY | bad)
