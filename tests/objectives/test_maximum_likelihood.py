"""Maximum likelihood by MCMC: a Gaussian at reduced size, modes in proportion, starts, steps and state."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Generator, Tensor, nn

from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.objectives import MaximumLikelihood, MaximumLikelihoodConfig
from ebm.samplers import MALA, Langevin


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def train(
    energy: nn.Module, objective: Any, x: Tensor, n_steps: int, batch: int, rate: float, sign: float = 1
) -> None:
    generator = seeded(1)
    optimizer = torch.optim.Adam(energy.parameters(), lr=rate)
    for i in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * i / n_steps))
        rows = x[torch.randint(len(x), (batch,), generator=generator)]
        loss = sign * objective(energy, rows, generator).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def error_after(d: int, n_steps: int, sign: float) -> float:
    precision = torch.linspace(0.6, 2.0, d).diag() + 0.2 * torch.ones(d, d)
    truth = Gaussian(torch.linspace(-0.5, 0.5, d), precision)
    energy = Gaussian(torch.zeros(d), 0.4 * torch.eye(d), learnable=True)
    # Chains start at noise, which is not the answer.
    objective = MaximumLikelihood(8, 0.4, 0.3, start="noise")
    train(energy, objective, truth.sample(4000, seeded()), n_steps, 256, 0.06, sign)
    return float(((energy.precision - truth.precision).norm() / truth.precision.norm()).detach())


@pytest.mark.parametrize("d", [1, 8])
def test_recovers_a_gaussian(d: int) -> None:
    """At reduced size; the contract has it in full."""
    assert error_after(d, 120, 1) < 0.15
    assert error_after(d, 15, -1) > 0.5  # the sign that trains -E


def share_learnt(objective: MaximumLikelihood, at: float, n_steps: int) -> float:
    """Of the left one of two modes whose share is .75; the chains begin at one Gaussian over both."""
    means, sds = torch.tensor([[-at, 0.0], [at, 0.0]]), torch.tensor([0.5, 0.5])
    truth = GaussianMixture(means, sds, torch.tensor([0.75, 0.25]))
    energy = GaussianMixture(means, sds + 0.1, torch.tensor([0.5, 0.5]), learnable=True)
    train(energy, objective, truth.sample(10_000, seeded()), n_steps, 256, 0.05)
    assert float(energy.log_sds.exp().mean().detach()) == pytest.approx(0.5, abs=0.04)
    return float(energy.logits.softmax(0)[0].detach())


def test_two_modes_come_back_in_proportion() -> None:
    objective = MaximumLikelihood(6, 0.5, 0.2, start="persistent", buffer_size=1024)
    assert share_learnt(objective, 1.0, 120) == pytest.approx(0.75, abs=0.05)


@pytest.mark.slow
def test_fresh_chains_must_be_long_enough_to_cross() -> None:
    """Too short, they carry their starts' proportion along, and the energy makes up for it."""
    assert share_learnt(MaximumLikelihood(60, 0.8, 0.2), 1.2, 100) == pytest.approx(0.75, abs=0.04)
    assert share_learnt(MaximumLikelihood(12, 0.5, 0.1), 1.2, 100) > 0.8


def test_at_the_truth_the_loss_has_no_gradient() -> None:
    truth = Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.4], [0.4, 1.5]]), learnable=True)
    x = truth.sample(20_000, seeded())
    loss, metrics = MaximumLikelihood(60, 0.5, 0.2)(truth, x, seeded(1))
    loss.backward()
    assert truth.factor.grad is not None and truth.factor.grad.tril().abs().max() < 0.04
    assert abs(metrics["gap"]) < 0.03 and 0.5 < metrics["acceptance"] < 1


def test_step_sizes_fall_geometrically() -> None:
    sizes = [s.step_size for s in MaximumLikelihood(5, 0.4, 0.1).samplers]
    assert sizes[0] == pytest.approx(0.4) and sizes[-1] == pytest.approx(0.1)
    assert all(b / a == pytest.approx(sizes[1] / sizes[0]) for a, b in zip(sizes, sizes[1:], strict=False))
    assert [s.step_size for s in MaximumLikelihood(1, 0.4, 0.1).samplers] == [0.4]
    assert isinstance(MaximumLikelihood().samplers[0], MALA)
    assert isinstance(MaximumLikelihood(metropolis=False).samplers[0], Langevin)


def test_starts_are_the_gaussian_of_the_data_or_noise() -> None:
    x = 3 + torch.randn(20_000, 2, generator=seeded()) @ torch.tensor([[2.0, 0.0], [1.0, 0.5]])
    objective = MaximumLikelihood(noise_scale=1.0)
    objective.prepare(None, x, seeded())
    starts = objective.fresh(20_000, x, seeded(1))
    torch.testing.assert_close(starts.mean(0), x.mean(0), atol=0.06, rtol=0)
    torch.testing.assert_close(torch.cov(starts.T), torch.cov(x.T), atol=0.15, rtol=0)
    noise = MaximumLikelihood(start="noise", noise_scale=0.5).fresh(20_000, x, seeded(1))
    assert float(noise.mean()) == pytest.approx(0, abs=0.02) and float(noise.std()) == pytest.approx(
        0.5, abs=0.02
    )
    images = torch.randn(10, 1, 3, 3)
    objective.prepare(None, images, seeded())
    assert objective.fresh(4, images, seeded()).shape == (4, 1, 3, 3)


def test_persistent_chains_and_starts_are_saved_and_resumed() -> None:
    x = torch.randn(64, 2, generator=seeded(3)) + 1
    energy = Gaussian(torch.zeros(2), torch.eye(2), learnable=True)

    def made() -> MaximumLikelihood:
        return MaximumLikelihood(3, start="persistent", buffer_size=100)

    one, other = made(), made()
    one(energy, x, seeded(7))
    other.load_state_dict(one.state_dict())
    losses = [float(o(energy, x + 5, seeded(8)).loss.detach()) for o in (one, other)]
    assert losses[0] == losses[1] != float(made()(energy, x + 5, seeded(8)).loss.detach())


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="'step_end' is above 'step_start'"):
        MaximumLikelihoodConfig(step_start=0.1, step_end=0.2)
