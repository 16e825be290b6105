"""Warm-up: the step size at which the sampler accepts its target, from any start; and lengths that scale."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator

from ebm.energies.analytic import Gaussian
from ebm.errors import BadConfig
from ebm.samplers import HMC, MALA, Langevin, Metropolis, adapt, run

GAUSSIAN = Gaussian(torch.tensor([0.5, -1.0]), torch.tensor([[2.0, 0.6], [0.6, 1.0]]))
SAMPLERS: list[Any] = [Metropolis(1.0), MALA(1.0), HMC(1.0, 5, 0.2)]
each = pytest.mark.parametrize("sampler", SAMPLERS, ids=["metropolis", "mala", "hmc"])


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@each
@pytest.mark.parametrize("off", [1e-3, 1e3])
def test_the_target_is_met_by_the_sampler_as_returned(sampler: Any, off: float) -> None:
    warm = adapt(sampler.rescaled(off), GAUSSIAN, GAUSSIAN.sample(300, seeded(1)), seeded(), n_steps=120)
    assert type(warm.sampler) is type(sampler)
    rate = run(warm.sampler, GAUSSIAN, warm.x, 50, seeded(2)).acceptance_rate
    assert rate == pytest.approx(sampler.target_acceptance, abs=0.03)
    assert warm.acceptance == pytest.approx(sampler.target_acceptance, abs=0.03)
    other = adapt(sampler, GAUSSIAN, warm.x, seeded(), n_steps=80, target=0.4)
    assert run(other.sampler, GAUSSIAN, warm.x, 50, seeded(2)).acceptance_rate == pytest.approx(0.4, abs=0.03)


@each
def test_lengths_scale_with_the_energy_s(sampler: Any) -> None:
    """A chain of E(x / c) by the sampler with c times the lengths is c times the chain of E."""
    c = 3.0
    x0 = GAUSSIAN.sample(50, seeded(1))
    small = run(sampler, GAUSSIAN, x0, 10, seeded()).x
    large = run(sampler.rescaled(c), lambda x: GAUSSIAN(x / c), c * x0, 10, seeded()).x
    torch.testing.assert_close(large, c * small, rtol=1e-3, atol=1e-3)


def test_the_sampler_handed_in_stays_and_the_seed_decides() -> None:
    sampler, x0 = MALA(0.01), torch.zeros((20, 2))
    first, again = (adapt(sampler, GAUSSIAN, x0, seeded(3), n_steps=50) for _ in range(2))
    assert sampler.step_size == 0.01 and torch.equal(x0, torch.zeros((20, 2)))
    assert first.sampler.step_size == again.sampler.step_size and torch.equal(first.x, again.x)


def test_misuse_is_named() -> None:
    x0 = torch.zeros((2, 2))
    with pytest.raises(BadConfig, match="target must lie between 0 and 1, not 1.5"):
        adapt(MALA(0.1), GAUSSIAN, x0, seeded(), target=1.5)
    with pytest.raises(BadConfig, match="n_steps must be at least 2"):
        adapt(MALA(0.1), GAUSSIAN, x0, seeded(), n_steps=1)
    uncorrected: Any = Langevin(0.1)
    uncorrected.target_acceptance, uncorrected.rescaled = 0.5, lambda length: uncorrected
    with pytest.raises(BadConfig, match="accepts everything"):
        adapt(uncorrected, GAUSSIAN, x0, seeded())
