"""A run that goes wrong: one return to the last good state, then a failure that says why."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from small_runs import CASES, rows, same, trainer, weights
from torch import Generator, Tensor, nn

from ebm.energies import MLPConfig
from ebm.errors import Diverged
from ebm.objectives import DSMConfig
from ebm.samplers import LangevinConfig
from ebm.training import checkpoint
from ebm.training.config import LoopConfig
from ebm.training.guards import Guard
from ebm.training.loop import Trainer, make_fabric
from ebm.types import LossOutput


class Faulty:
    """An objective that goes wrong at the calls in `at`."""

    def __init__(self, at: set[int], what: str):
        self.inner, self.at, self.what, self.calls = (
            DSMConfig(sigma_min=0.1, sigma_max=1.0).build(),
            at,
            what,
            0,
        )

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        self.calls += 1
        out = self.inner(energy, x, generator)
        if self.calls not in self.at:
            return out
        if self.what == "loss":
            return LossOutput(out.loss * float("nan"), out.metrics)
        if self.what == "gradient":  # sqrt at 0: a finite value with an infinite slope, times 0
            bad = sum(((p * 0).abs().sum().sqrt() for p in energy.parameters()), torch.zeros(()))
            return LossOutput(out.loss + bad, out.metrics)
        return LossOutput(out.loss, out.metrics | {"real": 1e9})

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_never_reaches_the_weights(what: str) -> None:
    run = trainer(objective=Faulty({3}, what))
    run.advance(), run.advance()
    before, moments = weights(run.plain), checkpoint.flatten_optimizer(run.optimizer)
    average = {k: v.clone() for k, v in run.average.items()}
    figures = run.advance()
    assert math.isfinite(figures["loss"]) == (what == "gradient")
    assert not math.isfinite(figures["gradient_norm"])
    assert same(weights(run.plain), before) and same(run.average, average)
    assert same(checkpoint.flatten_optimizer(run.optimizer), moments)
    run.advance()
    assert not same(weights(run.plain), before)


@pytest.mark.parametrize("what", ["loss", "gradient", "energy"])
def test_one_divergence_goes_back_and_halves_the_rate(what: str) -> None:
    run = trainer(objective=Faulty({30}, what))
    energy = run.run()
    assert run.rate_scale == 0.5
    assert run.step == 60
    assert run.objective.calls == 60 + 10  # type: ignore[attr-defined]  # steps 21 to 30 came again
    assert all(torch.isfinite(v).all() for v in energy.state_dict().values())


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("loss", "loss is not finite"),
        ("gradient", "gradient_norm is not finite"),
        ("energy", "energies explode"),
    ],
)
def test_a_second_divergence_fails_with_the_reason(what: str, reason: str) -> None:
    run = trainer(objective=Faulty({30, 45}, what))
    with pytest.raises(Diverged, match=rf"step \d+: {reason}.*again after going back"):
        run.run()
    assert all(torch.isfinite(v).all() for v in run.plain.state_dict().values())


def test_chains_that_run_away_are_found_in_a_real_run() -> None:
    # Steps far too large for the energy throw the negatives onto the box.
    config = CASES["cd"][1].model_copy(
        update={"k_steps": 20, "sampler": LangevinConfig(step_size=50.0, box=(-9.0, 9.0))}
    )
    run = trainer("cd", objective=config.build(), n_steps=200)
    with pytest.raises(Diverged, match=r"chains are saturated at the box for 20 steps, again after"):
        run.run(guard=Guard(patience=20))


def test_an_energy_of_one_value_is_found_in_a_real_run() -> None:
    config, objective = MLPConfig(width=8, depth=2, base="none"), CASES["cd"][1]
    energy = config.build((2,))
    for p in energy.parameters():
        nn.init.zeros_(p)
    run = Trainer(energy, objective.build(), rows(), LoopConfig(n_steps=200), make_fabric("cpu"), seed=0)
    with pytest.raises(Diverged, match="collapsed to one value for 50 steps, again after"):
        run.run()


def test_a_rate_that_blows_up_is_found_and_leaves_finite_weights() -> None:
    run = trainer("cd", learning_rate=1e5, warmup_steps=0, clip=1e9, n_steps=300)
    with pytest.raises(Diverged, match="again after going back"):
        run.run()
    assert all(torch.isfinite(v).all() for v in run.plain.state_dict().values())
