"""Recovery likelihood: its conditional density, a Gaussian at reduced size, the levels, and what a config may say."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Generator, Tensor

from ebm.energies import MLPConfig, ResidualConfig
from ebm.energies.analytic import Gaussian
from ebm.objectives import Recovery, RecoveryConfig
from ebm.samplers import MALA
from ebm.training.matching import check_objective


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def gaussian(d: int) -> Gaussian:
    return Gaussian(torch.linspace(-0.5, 0.5, d), torch.linspace(0.6, 2.0, d).diag() + 0.2 * torch.ones(d, d))


class Spy:
    """Remembers what the energy was last asked about: data, then negatives."""

    def __init__(self, energy: Any):
        self.energy, self.seen, self.levels = energy, torch.empty(0), None

    def __call__(self, x: Tensor, sigma: Any = None) -> Tensor:
        self.seen, self.levels = x.detach(), sigma
        return self.energy(x) if sigma is None else self.energy(x, sigma=sigma)


def test_negatives_are_draws_of_the_conditional_density() -> None:
    """Data at one point: x~ = x + g eps, and y given x~ is Gaussian of precision P + 1/g^2 for a Gaussian energy."""
    energy, gap, n = gaussian(2), 0.8, 20_000
    spy = Spy(energy)
    Recovery(MALA(0.3), 60, gap)(spy, torch.ones(n, 2), seeded())
    y = spy.seen[n:]
    conditional = torch.linalg.inv(energy.precision + torch.eye(2) / gap**2)
    pull = conditional / gap**2
    mean = conditional @ energy.precision @ energy.mean + pull @ torch.ones(2)
    torch.testing.assert_close(y.mean(0), mean, atol=0.02, rtol=0)
    # Over both draws: that of y given x~, and x~ about x moved by the conditional mean's slope.
    torch.testing.assert_close(torch.cov(y.T), conditional + gap**2 * pull @ pull.T, atol=0.02, rtol=0)


@pytest.mark.parametrize("level", [False, True])
def test_at_the_truth_negatives_are_distributed_as_the_data(level: bool) -> None:
    energy, n = gaussian(2), 8000
    spy = Spy(energy)
    objective = Recovery(MALA(0.4), 25, None, (0.4, 1.0)) if level else Recovery(MALA(0.4), 25, (0.3, 1.0))
    _, metrics = objective(spy, energy.sample(n, seeded(1)), seeded())
    real, fake = spy.seen[:n], spy.seen[n:]
    torch.testing.assert_close(torch.cov(real.T), torch.cov(fake.T), atol=0.05, rtol=0)
    torch.testing.assert_close(real.mean(0), fake.mean(0), atol=0.03, rtol=0)
    covariance = torch.linalg.inv(energy.precision) + (0.16 if level else 0) * torch.eye(2)
    torch.testing.assert_close(torch.cov(real.T), covariance, atol=0.06, rtol=0)
    assert abs(metrics["gap"]) < 0.03 and 0.4 < metrics["acceptance"] < 1


@pytest.mark.parametrize("d", [1, 8])
def test_recovers_a_gaussian(d: int) -> None:
    """At reduced size; the contract has it in full."""
    truth = gaussian(d)
    x = truth.sample(4000, seeded())

    def error_after(n_steps: int, sign: float) -> float:
        energy = Gaussian(torch.zeros(d), 0.4 * torch.eye(d), learnable=True)
        objective, generator = Recovery(MALA(0.4), 6, 0.7), seeded(1)
        optimizer = torch.optim.Adam(energy.parameters(), lr=0.06)
        for i in range(n_steps):
            for group in optimizer.param_groups:
                group["lr"] = 0.06 * 0.5 * (1 + math.cos(math.pi * i / n_steps))
            rows = x[torch.randint(len(x), (256,), generator=generator)]
            loss = sign * objective(energy, rows, generator).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(((energy.precision - truth.precision).norm() / truth.precision.norm()).detach())

    assert error_after(120, 1) < 0.2
    assert error_after(15, -1) > 0.5  # the sign that trains -E


def test_levels_go_with_their_rows_and_the_last_has_no_energy() -> None:
    levels = (0.1, 0.3, 0.9)
    spy = Spy(gaussian(1))
    x = torch.zeros(4000, 1)
    Recovery(MALA(0.2), 1, None, levels)(spy, x, seeded())
    assert spy.levels is not None
    assert spy.levels.unique().tolist() == pytest.approx([0.1, 0.3])
    torch.testing.assert_close(spy.levels[:4000], spy.levels[4000:])
    level, gap = Recovery(MALA(0.2), 1, None, levels).rungs(x, seeded())
    assert level is not None  # the noisy row has the next level
    upper = (level.square() + gap.square()).sqrt()
    torch.testing.assert_close(upper, torch.where(level < 0.2, 0.3, 0.9))
    for level in levels[:2]:
        rows = spy.seen[:4000][spy.levels[:4000] == torch.tensor(level)]
        assert float(rows.std()) == pytest.approx(level, rel=0.06)  # data at 0, with that noise


@pytest.mark.parametrize(
    "settings, message",
    [
        ({}, "give 'sigma', or 'levels'"),
        ({"sigma": 0.5, "levels": (0.1, 0.2)}, "and not both"),
        ({"levels": (0.1,)}, "at least two ascending"),
        ({"levels": (0.2, 0.1)}, "at least two ascending"),
        ({"sigma": (1.0, 0.5)}, "high is below low"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RecoveryConfig(**settings)


def test_levels_and_noise_conditional_energies_go_together() -> None:
    by_levels, by_sigma = RecoveryConfig(levels=(0.1, 0.5)), RecoveryConfig(sigma=0.5)
    check_objective(by_levels, ResidualConfig())
    check_objective(by_sigma, MLPConfig())
    with pytest.raises(ValueError, match="'recovery' with 'levels'"):
        check_objective(by_sigma, ResidualConfig())
    with pytest.raises(ValueError, match="'levels' needs a noise-conditional energy"):
        check_objective(by_levels, MLPConfig())
