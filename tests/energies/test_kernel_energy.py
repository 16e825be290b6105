"""The kernel energy against Parzen's estimate, quadrature, and rows that would break it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor

from ebm.energies import KernelConfig
from ebm.errors import BadInput


def data(shape: tuple[int, ...], n: int = 40, seed: int = 0) -> Tensor:
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", [None, 0.5])
def test_kernel_is_parzens_log_density_up_to_a_constant(sigma: float | None) -> None:
    x, queries = data((2,)), data((2,), 20, seed=3)
    energy = KernelConfig(bandwidth=2.0).build((2,))
    energy.fit(x)  # type: ignore[operator]
    a, q = x.double().numpy(), queries.double().numpy()
    distances = ((a[:, None] - a[None]) ** 2).sum(2) + np.diag(np.full(len(a), np.inf))
    h2 = 2.0 * float(torch.tensor(distances.min(1)).median())
    total = h2 + (sigma or 0.0) ** 2
    log_density = logsumexp(-((q[:, None] - a[None]) ** 2).sum(2) / (2 * total), axis=1) - math.log(total)
    found = energy(queries, sigma=sigma).double().numpy()
    constant = found + log_density
    np.testing.assert_allclose(constant, constant.mean(), atol=1e-4)
    # The constant is the same at every noise level, so that energies compare across them.
    assert constant.mean() == pytest.approx(math.log(len(a)) - math.log(h2), abs=1e-4)


def test_kernel_at_a_noise_level_is_its_density_convolved_with_the_noise() -> None:
    # By quadrature, which knows nothing of how Gaussians add.
    energy = KernelConfig(bandwidth=3.0).build((1,))
    energy.fit(data((1,)))  # type: ignore[operator]
    sigma, grid = 0.4, torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = (-energy(grid.float()[:, None]).double()).exp()
    queries = torch.linspace(-3, 3, 25, dtype=torch.float64)
    noise = (-0.5 * ((queries[:, None] - grid) / sigma) ** 2).exp() / (sigma * math.sqrt(2 * math.pi))
    convolved = torch.trapezoid(noise * density, grid)
    found = energy(queries.float()[:, None], sigma=sigma).double()
    torch.testing.assert_close(found, -convolved.log(), rtol=0, atol=1e-4)


def test_adaptive_bandwidths_follow_the_neighbours() -> None:
    x = torch.cat([0.1 * data((2,), 30), 10 + data((2,), 30, seed=1)])
    energy = KernelConfig(neighbour=5, adaptive=1.0).build((2,))
    energy.fit(x)  # type: ignore[operator]
    h2 = energy.squared_bandwidths
    assert isinstance(h2, Tensor)
    assert h2[30:].median() > 10 * h2[:30].median()


def test_kernel_survives_duplicates_and_refuses_too_few_rows() -> None:
    rows = torch.cat([torch.zeros(20, 2), torch.ones(20, 2)])
    energy = KernelConfig().build((2,))
    energy.fit(rows)  # type: ignore[operator]
    out = energy(torch.tensor([[0.0, 0.0], [0.5, 0.5], [3.0, 3.0]]))
    assert torch.isfinite(out).all() and out[0] < out[1] < out[2]
    with pytest.raises(BadInput, match="at least 2 training rows, got 1"):
        KernelConfig().build((2,)).fit(torch.zeros(1, 2))  # type: ignore[operator]
    with pytest.raises(BadInput, match="call fit first"):
        KernelConfig().build((2,))(rows)
