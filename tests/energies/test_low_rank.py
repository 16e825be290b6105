"""The Gaussian base of image energies against closed forms in numpy and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import multivariate_normal
from torch import Tensor

from ebm.energies.low_rank import LowRankBase

D, SIGMAS = 6, (0.1, 0.5, 3.0)


def rows(n: int = 300, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(D, D, generator=generator)
    return torch.randn(n, D, generator=generator) @ mixing + torch.linspace(-2, 2, D)


def fitted(rank: int) -> LowRankBase:
    base = LowRankBase(D, rank)
    base.fit(rows())
    return base


def covariance(rank: int) -> np.ndarray:
    """Of the rows; beyond the leading `rank` directions, their mean variance in each."""
    values, vectors = np.linalg.eigh(np.cov(rows().double().numpy().T))
    values[: D - rank] = values[: D - rank].mean() if rank < D else values[: D - rank]
    return (vectors * values) @ vectors.T


def column(sigma: float, n: int) -> Tensor:
    return torch.full((n, 1), sigma)


every_rank = pytest.mark.parametrize("rank", [1, 3, D, D + 5])
every_sigma = pytest.mark.parametrize("sigma", SIGMAS)


@every_rank
@every_sigma
def test_energy_is_the_gaussians(rank: int, sigma: float) -> None:
    x = rows(20, seed=1)
    total = covariance(min(rank, D)) + sigma**2 * np.eye(D)
    exact = -multivariate_normal(rows().double().numpy().mean(0), total).logpdf(x.double().numpy())
    found = fitted(rank).energy(x, column(sigma, 20)).double().numpy() + 0.5 * D * math.log(2 * math.pi)
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-3)


@every_rank
@every_sigma
def test_restore_is_wieners_filter(rank: int, sigma: float) -> None:
    x, mean, c = rows(20, seed=1), rows().double().numpy().mean(0), covariance(min(rank, D))
    gain = c @ np.linalg.inv(c + sigma**2 * np.eye(D))
    exact = mean + (x.double().numpy() - mean) @ gain.T
    np.testing.assert_allclose(
        fitted(rank).restore(x, column(sigma, 20)).numpy(), exact, rtol=1e-4, atol=1e-4
    )


@every_rank
@every_sigma
def test_whitening_is_the_inverse_root_of_the_covariance(rank: int, sigma: float) -> None:
    x, mean = rows(20, seed=1), rows().double().numpy().mean(0)
    root = np.linalg.inv(np.real(sqrtm(covariance(min(rank, D)) + sigma**2 * np.eye(D))))
    exact = (x.double().numpy() - mean) @ root.T
    np.testing.assert_allclose(fitted(rank).whiten(x, column(sigma, 20)).numpy(), exact, rtol=1e-4, atol=1e-4)


def test_each_row_has_its_own_noise() -> None:
    base, x = fitted(3), rows(3, seed=1)
    levels = torch.tensor(SIGMAS)[:, None]
    for method in (base.energy, base.whiten, base.restore, lambda _, s: base.half_log_det(s)):
        together = method(x, levels)
        apart = [method(x[i : i + 1], levels[i : i + 1]) for i in range(3)]
        torch.testing.assert_close(together, torch.cat(apart))


def test_directions_without_variance_stay_finite() -> None:
    x = rows()
    x[:, 2] = 0.5
    base = LowRankBase(D, 8)
    base.fit(x)
    assert torch.isfinite(base.energy(x, column(1e-3, len(x)))).all()
    # Fewer rows than columns, as in every set of images.
    base.fit(x[:3])
    assert torch.isfinite(base.energy(x, column(1e-3, len(x)))).all()


def test_mixed_precision_leaves_it_exact() -> None:
    # Whitening nearly cancels: with products of 8 bits the energy would be off by tenths.
    base, x = fitted(3), rows(20, seed=1)
    expected = base.energy(x, column(0.1, 20)), base.restore(x, column(0.1, 20))
    with torch.autocast("cpu", torch.bfloat16):
        found = base.energy(x, column(0.1, 20)), base.restore(x, column(0.1, 20))
    assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
