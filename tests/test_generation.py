"""Where chains start, and which energy they run on at which noise level."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebm.config import validate
from ebm.energies.analytic import Gaussian
from ebm.errors import BadConfig
from ebm.generation import CoarseToFine, plan, start
from ebm.samplers import AnnealedLangevinConfig, LangevinConfig
from ebm.samplers.run import run_stages
from ebm.training.config import SamplingConfig

ANNEALED = AnnealedLangevinConfig(
    sigma_min=0.05, sigma_max=3.0, n_levels=12, step_size=0.5, n_steps_per_level=40
)


def test_starts_carry_the_datas_spread_and_the_noise() -> None:
    mean, sd = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 2.0])
    x = start(mean, sd, 1.5, 20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(x.mean(0), mean, atol=0.06, rtol=0)
    torch.testing.assert_close(x.var(0), sd.square() + 1.5**2, rtol=0.05, atol=0)


def test_a_plan_draws_from_the_energy() -> None:
    energy = Gaussian(torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 0.8], [0.8, 1.0]]))
    config = SamplingConfig(term="x", sampler=ANNEALED)
    stages, noise = plan(energy, config, None, None)
    assert noise == 3.0 and sum(s.n_steps for s in stages) == 481
    generator = torch.Generator().manual_seed(0)
    x = start(torch.zeros(2), torch.ones(2), noise, 8000, generator)
    found = run_stages(stages, x, generator).x
    exact = energy.sample(50_000, generator)
    torch.testing.assert_close(found.mean(0), exact.mean(0), atol=0.08, rtol=0)
    torch.testing.assert_close(torch.cov(found.T), torch.cov(exact.T), atol=0.12, rtol=0)


def test_requests_change_the_sampler_and_bad_ones_are_named() -> None:
    energy = Gaussian(torch.zeros(1), torch.eye(1))
    stages, _ = plan(energy, SamplingConfig(term="x", sampler=ANNEALED), 3, None)
    assert sum(s.n_steps for s in stages) == 37
    chain = SamplingConfig(term="x", sampler=LangevinConfig(step_size=0.1), n_steps=50)
    for n_steps, expected in ((None, 50), (7, 7)):
        stages, noise = plan(energy, chain, n_steps, 0.02)
        assert [s.n_steps for s in stages] == [expected] and noise == 0
        assert stages[0].sampler.step_size == 0.02  # type: ignore[attr-defined]
    with pytest.raises(BadConfig, match=r"generate: step_size|step_size"):
        plan(energy, chain, None, -1.0)
    with pytest.raises(BadConfig, match="go together"):
        validate(SamplingConfig, {"term": "x", "sampler": ANNEALED.model_dump(), "switch_sigma": 1.0}, "test")


def test_coarse_above_the_switch_and_fine_below() -> None:
    def constant(value: float):  # type: ignore[no-untyped-def]
        return lambda x, sigma=None: torch.full((len(x),), value)

    energy = CoarseToFine(constant(1.0), constant(2.0), 0.5)
    x = torch.zeros(3, 2)

    def at(sigma: Tensor | float | None) -> float:
        return float(energy(x, sigma)[0])

    assert (at(0.1), at(0.5), at(0.7), at(None)) == (1.0, 1.0, 2.0, 1.0)
    assert at(torch.full((3,), 0.9)) == 2.0
