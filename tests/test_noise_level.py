"""Noise levels against the noise that was added."""

from __future__ import annotations

import pytest
import torch
from analytic_denoisers import WienerFilter

from ebm.energies.analytic import Gaussian
from ebm.noise_level import SIGMA_GRID, estimate_sigma, level_offsets

# Like pictures: many directions in which clean rows hardly vary, which is where noise shows.
PRECISIONS = torch.diag(torch.tensor([1.0] * 20 + [2500.0] * 40))


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.7])
def test_the_noise_level_is_estimated(sigma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    energy = Gaussian(torch.zeros(60), PRECISIONS)
    x = energy.sample(500, generator)
    offsets = level_offsets(energy, x[:250], generator)
    noisy = x[250:] + sigma * torch.randn(x[250:].shape, generator=generator)
    found = estimate_sigma(energy, noisy, offsets)
    assert found.median() == pytest.approx(sigma, rel=0.15)


def test_clean_rows_get_the_least_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(40, 40, generator=generator)
    energy = Gaussian(torch.ones(40), a @ a.T / 40 + torch.eye(40))
    x = energy.sample(500, generator)
    offsets = level_offsets(energy, x[:250], generator)
    assert estimate_sigma(energy, x[250:], offsets).median() < 0.06


def test_a_constant_of_each_level_does_not_move_the_estimate() -> None:
    # Score matching leaves the energy of each level free by a constant; here the constants are large and crooked.
    generator = torch.Generator().manual_seed(0)
    energy = Gaussian(torch.zeros(60), PRECISIONS)
    x = energy.sample(500, generator)

    def shifted(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return energy(x, sigma) + 200 * torch.sin(3 * sigma) + 50 / sigma

    offsets = level_offsets(shifted, x[:250], generator)  # type: ignore[arg-type]
    noisy = x[250:] + 0.3 * torch.randn(x[250:].shape, generator=generator)
    found = estimate_sigma(shifted, noisy, offsets)  # type: ignore[arg-type]
    assert found.median() == pytest.approx(0.3, rel=0.15)
    blind = estimate_sigma(shifted, noisy, torch.zeros_like(offsets))  # type: ignore[arg-type]
    assert blind.median() != pytest.approx(0.3, rel=0.3)


@pytest.mark.parametrize("sigma", [0.08, 0.1, 0.3, 0.7, 1.2])
def test_a_denoiser_alone_tells_the_noise_level(sigma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    energy = Gaussian(torch.zeros(60), PRECISIONS)
    field = WienerFilter(energy)
    x = energy.sample(500, generator)
    offsets = level_offsets(field, x[:250], generator)
    assert offsets.shape == (len(SIGMA_GRID),)
    # The mean residual of rows with noise s is known for a Gaussian; that of its logarithm lies 1/d or so below.
    variances = torch.cat([torch.ones(20), torch.full((40,), 1 / 2500)])
    levels = torch.tensor(SIGMA_GRID)[:, None].square()
    torch.testing.assert_close(offsets.exp(), (levels / (levels + variances)).mean(1), rtol=0.06, atol=0)
    noisy = x[250:] + sigma * torch.randn(x[250:].shape, generator=generator)
    found = estimate_sigma(field, noisy, offsets)
    assert found.median() == pytest.approx(sigma, rel=0.1)


def test_a_denoiser_calls_clean_rows_clean_and_takes_no_more_than_the_grid_for_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    energy = Gaussian(torch.zeros(60), PRECISIONS)
    x = energy.sample(500, generator)
    offsets = level_offsets(WienerFilter(energy), x[:250], generator)
    assert estimate_sigma(WienerFilter(energy), x[250:], offsets).median() < 0.06
    far = x[250:] + 10 * torch.randn(x[250:].shape, generator=generator)
    assert (estimate_sigma(WienerFilter(energy), far, offsets) == torch.tensor(SIGMA_GRID[-1])).all()


def test_not_more_rows_than_are_needed_are_looked_at() -> None:
    energy = Gaussian(torch.zeros(60), PRECISIONS)
    sizes: list[int] = []

    def counted(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return energy(x, sigma)

    x = energy.sample(3000, torch.Generator().manual_seed(0))
    level_offsets(counted, x, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    assert max(sizes) <= 128 and sum(sizes) <= 3 * len(SIGMA_GRID) * 512
