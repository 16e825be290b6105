"""Denoising against the closed form of a Gaussian, and noise levels against the noise that was added."""

from __future__ import annotations

import pytest
import torch

from ebm.energies.analytic import Gaussian
from ebm.restoration import (
    denoise_steps,
    estimate_sigma,
    langevin_denoise_steps,
    level_offsets,
    posterior_mean,
)


def setup(d: int = 6) -> tuple[Gaussian, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(d, d, generator=generator)
    energy = Gaussian(torch.ones(d), a @ a.T / d + torch.eye(d))
    return energy, energy.sample(500, generator), generator


def test_posterior_mean_of_a_gaussian_is_the_wiener_filter() -> None:
    energy, x, generator = setup()
    sigma = 0.7
    noisy = x + sigma * torch.randn(x.shape, generator=generator)
    covariance = torch.linalg.inv(energy.precision)
    gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(6))
    expected = 1 + (noisy - 1) @ gain.T
    found = posterior_mean(energy, noisy, torch.full((500,), sigma))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_several_steps_end_nearer_to_the_datas_spread() -> None:
    energy, x, generator = setup()
    sigma = torch.full((500,), 1.0)
    noisy = x + torch.randn(x.shape, generator=generator)
    one = list(denoise_steps(energy, noisy, sigma, 1, 0.05))[-1]
    many = list(denoise_steps(energy, noisy, sigma, 20, 0.05))
    assert len(many) == 20

    # The posterior mean shrinks; the probability flow carries the noisy density onto the data's.
    def gap(y: torch.Tensor) -> float:
        return float((y.std(0) - x.std(0)).abs().mean())

    assert gap(many[-1]) < 0.5 * gap(one)


def test_langevin_draws_from_the_posterior_of_a_gaussian() -> None:
    energy, x, generator = setup()
    noisy = (x[:3] + 0.7 * torch.randn(3, 6, generator=generator)).repeat_interleave(4000, 0)
    steps = list(langevin_denoise_steps(energy, noisy, torch.full((12000,), 0.7), 50, 0.05, generator))
    assert len(steps) == 50
    draws = steps[-1].reshape(3, 4000, 6)
    covariance = torch.linalg.inv(energy.precision + torch.eye(6) / 0.7**2)
    mean = posterior_mean(energy, noisy[::4000], torch.full((3,), 0.7))
    torch.testing.assert_close(draws.mean(1), mean, rtol=0, atol=0.03)
    for one in draws:
        torch.testing.assert_close(torch.cov(one.T), covariance, rtol=0.1, atol=0.015)


def test_langevin_of_one_step_or_of_hardly_any_noise_is_the_posterior_mean() -> None:
    energy, x, generator = setup()
    for sigma, n_steps in ((0.7, 1), (0.04, 20)):
        level = torch.full((500,), sigma)
        found = list(langevin_denoise_steps(energy, x, level, n_steps, 0.05, generator))[-1]
        torch.testing.assert_close(found, posterior_mean(energy, x, level))


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.7])
def test_the_noise_level_is_estimated(sigma: float) -> None:
    # Like pictures: many directions in which clean rows hardly vary, which is where noise shows.
    generator = torch.Generator().manual_seed(0)
    energy = Gaussian(torch.zeros(60), torch.diag(torch.tensor([1.0] * 20 + [2500.0] * 40)))
    x = energy.sample(500, generator)
    offsets = level_offsets(energy, x[:250], generator)
    noisy = x[250:] + sigma * torch.randn(x[250:].shape, generator=generator)
    found = estimate_sigma(energy, noisy, offsets)
    assert found.median() == pytest.approx(sigma, rel=0.15)


def test_clean_rows_get_the_least_noise() -> None:
    energy, x, generator = setup(d=40)
    offsets = level_offsets(energy, x[:250], generator)
    assert estimate_sigma(energy, x[250:], offsets).median() < 0.06


def test_a_constant_of_each_level_does_not_move_the_estimate() -> None:
    # Score matching leaves the energy of each level free by a constant; here the constants are large and crooked.
    generator = torch.Generator().manual_seed(0)
    energy = Gaussian(torch.zeros(60), torch.diag(torch.tensor([1.0] * 20 + [2500.0] * 40)))
    x = energy.sample(500, generator)

    def shifted(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return energy(x, sigma) + 200 * torch.sin(3 * sigma) + 50 / sigma

    offsets = level_offsets(shifted, x[:250], generator)  # type: ignore[arg-type]
    noisy = x[250:] + 0.3 * torch.randn(x[250:].shape, generator=generator)
    found = estimate_sigma(shifted, noisy, offsets)  # type: ignore[arg-type]
    assert found.median() == pytest.approx(0.3, rel=0.15)
    blind = estimate_sigma(shifted, noisy, torch.zeros_like(offsets))  # type: ignore[arg-type]
    assert blind.median() != pytest.approx(0.3, rel=0.3)
