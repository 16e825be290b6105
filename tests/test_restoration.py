"""Denoising against the closed form of a Gaussian, by the gradient of an energy and by a denoiser that has none."""

from __future__ import annotations

import pytest
import torch
from analytic_denoisers import WienerFilter

from ebm.energies.analytic import Gaussian
from ebm.restoration import denoise_steps, langevin_denoise_steps
from ebm.samplers.posterior import posterior_mean, score_estimate


def setup(d: int = 6) -> tuple[Gaussian, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(d, d, generator=generator)
    energy = Gaussian(torch.ones(d), a @ a.T / d + torch.eye(d))
    return energy, energy.sample(500, generator), generator


BY = pytest.mark.parametrize("by", [lambda energy: energy, WienerFilter], ids=["energy", "field"])


@BY
def test_posterior_mean_of_a_gaussian_is_the_wiener_filter(by) -> None:
    energy, x, generator = setup()
    sigma = 0.7
    noisy = x + sigma * torch.randn(x.shape, generator=generator)
    covariance = torch.linalg.inv(energy.precision)
    gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(6))
    expected = 1 + (noisy - 1) @ gain.T
    for level in (sigma, torch.full((500,), sigma)):
        found = posterior_mean(by(energy), noisy, level)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        score = score_estimate(by(energy), noisy, level)
        torch.testing.assert_close(score, (expected - noisy) / sigma**2, rtol=1e-3, atol=1e-3)


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


@BY
def test_langevin_draws_from_the_posterior_of_a_gaussian(by) -> None:
    energy, x, generator = setup()
    noisy = (x[:3] + 0.7 * torch.randn(3, 6, generator=generator)).repeat_interleave(4000, 0)
    steps = list(langevin_denoise_steps(by(energy), noisy, torch.full((12000,), 0.7), 50, 0.05, generator))
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


def test_rows_of_several_noise_levels_at_once() -> None:
    energy, x, _ = setup()
    levels = torch.tensor([0.2, 0.7, 1.4])
    found = posterior_mean(WienerFilter(energy), x[:3], levels)
    for i in range(3):
        torch.testing.assert_close(found[i : i + 1], posterior_mean(energy, x[i : i + 1], levels[i : i + 1]))
