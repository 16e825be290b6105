"""The denoiser's energy: exact for isotropic Gaussian data, and its f is no posterior mean."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from ebm.energies import ScoreParametrisedConfig, ScoreParametrisedEnergy
from ebm.energies.analytic import GaussianMixture
from ebm.objectives import DenoisingScoreMatching


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def built(x: Tensor, width: int = 16) -> ScoreParametrisedEnergy:
    torch.manual_seed(0)
    energy = ScoreParametrisedConfig(width=width, depth=2).build(tuple(x.shape[1:]))
    assert isinstance(energy, ScoreParametrisedEnergy)
    energy.fit(x)
    return energy


@pytest.mark.parametrize("sigma", [0.05, 0.5, 3.0])
def test_its_base_is_the_exact_energy_of_an_isotropic_gaussian(sigma: float) -> None:
    x = 2 + 1.5 * torch.randn(5000, 3, generator=seeded())
    energy = built(x)
    expected = (x - x.mean(0)).square().sum(1) / (2 * ((x - x.mean(0)).square().mean() + sigma**2))
    torch.testing.assert_close(energy(x, sigma=sigma), expected, rtol=1e-4, atol=1e-4)


def test_it_is_half_the_squared_residual_of_f_in_units_of_the_noise() -> None:
    x = torch.randn(20, 4, generator=seeded())
    energy = built(x)
    torch.nn.init.normal_(energy.body.out.weight, std=0.3)
    levels = torch.linspace(0.1, 2, 20)
    expected = (x - energy.f(x, levels)).square().sum(1) / (2 * levels**2)
    torch.testing.assert_close(energy(x, sigma=levels), expected)


def trained(x: Tensor, levels: tuple[float, float], n_steps: int) -> ScoreParametrisedEnergy:
    energy, objective, generator = built(x, 48), DenoisingScoreMatching(*levels), seeded(1)
    optimizer = torch.optim.Adam(energy.parameters(), lr=4e-3)
    for i in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * 0.5 * (1 + math.cos(math.pi * i / n_steps))
        loss = objective(energy, x[torch.randint(len(x), (256,), generator=generator)], generator).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return energy


def test_trained_on_its_gradient_it_has_the_score_of_noisy_data_and_f_is_not_their_mean() -> None:
    truth = GaussianMixture(
        torch.tensor([[-1.2, 0.0], [1.2, 0.6]]), torch.tensor([0.4, 0.5]), torch.tensor([0.6, 0.4])
    )
    sigma = 0.4
    energy = trained(truth.sample(20_000, seeded(2)), (0.2, 0.8), 350)
    noisy = (
        truth.sample(2000, seeded(3)) + sigma * torch.randn(2000, 2, generator=seeded(4))
    ).requires_grad_(True)

    def score(values: Tensor) -> Tensor:
        return -torch.autograd.grad(values.sum(), noisy)[0]

    found, wanted = score(energy(noisy, sigma=sigma)), score(truth(noisy, sigma=sigma))
    start = score(built(truth.sample(20_000, seeded(2)))(noisy, sigma=sigma))

    def cosine(a: Tensor, b: Tensor) -> float:
        return float((a * b).sum() / (a.norm() * b.norm()))

    assert cosine(found, wanted) > 0.95 > cosine(start, wanted)
    clean = noisy.detach() + sigma**2 * wanted
    by_gradient = noisy.detach() + sigma**2 * found
    by_f = energy.f(noisy, sigma).detach()
    assert (by_gradient - clean).norm() < 0.4 * (by_f - clean).norm()
