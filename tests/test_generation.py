"""Where chains start, and which energy they run on at which noise level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from analytic_detectors import analytic_detector, gaussian, standardize
from torch import Tensor

from ebm.config import validate
from ebm.energies.analytic import Gaussian
from ebm.errors import BadConfig
from ebm.generation import CoarseToFine, check_shape, plan, start
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


KINDS = {
    "metropolis": {"kind": "metropolis", "step_size": 1.0},
    "hmc": {"kind": "hmc", "step_size": 0.5, "n_leapfrog": 3},
    "replica_exchange": {"kind": "replica_exchange", "sampler": {"kind": "mala", "step_size": 0.3}},
    "preconditioned": {
        "kind": "preconditioned",
        "sampler": {"kind": "mala", "step_size": 0.3},
        "n_warmup": 40,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_sampler_is_planned_and_changed_by_the_request(kind: str) -> None:
    energy = Gaussian(torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 0.8], [0.8, 1.0]]))
    config = SamplingConfig.model_validate({"term": "x", "sampler": KINDS[kind], "n_steps": 60})
    stages, noise = plan(energy, config, None, None)
    assert noise == 0 and stages[-1].n_steps == 60 and sum(s.n_steps for s in stages[:-1]) in (0, 40)
    x = run_stages(stages, torch.zeros((3000, 2)), torch.Generator().manual_seed(0)).x
    torch.testing.assert_close(x.mean(0), energy.mean, atol=0.08, rtol=0)
    torch.testing.assert_close(torch.cov(x.T), torch.linalg.inv(energy.precision), atol=0.12, rtol=0)
    other, _ = plan(energy, config, 7, 1e-9)
    assert other[-1].n_steps == 7
    start_, moved = torch.zeros((5, 2)), torch.zeros((5, 2))
    moved, _ = other[0].sampler.step(energy, moved, torch.Generator().manual_seed(0))
    assert not torch.equal(moved, start_) and float(moved.abs().max()) < 1e-3
    with pytest.raises(BadConfig, match="step_size must be positive"):
        plan(energy, config, None, -1.0)


def test_a_mass_for_other_rows_is_refused_without_a_model() -> None:
    hmc = {"kind": "hmc", "step_size": 0.1, "mass": [1, 2, 3]}
    for sampler in (hmc, {"kind": "replica_exchange", "sampler": hmc}):
        config = SamplingConfig.model_validate({"term": "x", "sampler": sampler})
        check_shape(config, (3,))
        with pytest.raises(BadConfig, match="mass: 3 numbers, for rows of 64"):
            check_shape(config, (1, 8, 8))


def test_diagnostics_beside_the_samples() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2))
    for kind in ("hmc", "replica_exchange"):
        detector = analytic_detector(
            gaussian([0, 0], [1, 1]), standardize([0, 0], [1, 1]), rows, sampler=KINDS[kind], n_steps=60
        )
        made, plain = detector.generate(6, seed=1, diagnose=True), detector.generate(6, seed=1)
        np.testing.assert_array_equal(made.samples, plain.samples)
        found = made.diagnostics
        assert plain.diagnostics is None and found is not None
        assert (found["n_chains"], found["n_steps"], found["n_warmup"]) == (6, 60, 30)
        assert 0.5 < found["acceptance"] <= 1 and 0.9 < found["energy_r_hat"] < 1.2
        assert found["energy_mean"] == pytest.approx(1, abs=0.4)  # d / 2
        assert (found["swap_rates"] is not None) == (kind == "replica_exchange")


def test_coarse_above_the_switch_and_fine_below() -> None:
    def constant(value: float):  # type: ignore[no-untyped-def]
        return lambda x, sigma=None: torch.full((len(x),), value)

    energy = CoarseToFine(constant(1.0), constant(2.0), 0.5)
    x = torch.zeros(3, 2)

    def at(sigma: Tensor | float | None) -> float:
        return float(energy(x, sigma)[0])

    assert (at(0.1), at(0.5), at(0.7), at(None)) == (1.0, 1.0, 2.0, 1.0)
    assert at(torch.full((3,), 0.9)) == 2.0
