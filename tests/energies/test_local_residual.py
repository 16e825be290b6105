"""The largest local residual against a denoiser whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ebm.energies import Expert
from ebm.energies.local_residual import local_residual

SIGMA = 0.5


class Shrink(torch.nn.Module):
    """Data N(0, 1): E = |x|^2 / (2 (1 + sigma^2)), whose posterior mean is x / (1 + sigma^2)."""

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        return x.flatten(1).square().sum(1) / (2 * (1 + float(sigma or 0) ** 2))


class Restores(Shrink):
    def restore(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return x / (1 + float(sigma) ** 2)


def images(*faults: tuple[int, int]) -> Tensor:
    """Black, with 9 x 9 pixels of 2 at each place, one image a fault."""
    x = torch.zeros(len(faults), 1, 32, 32)
    for i, (top, left) in enumerate(faults):
        x[i, :, top : top + 9, left : left + 9] = 2.0
    return x


@pytest.mark.parametrize("energy", [Shrink(), Restores()], ids=["gradient", "denoiser"])
def test_the_largest_residual_wherever_it_is(energy: torch.nn.Module) -> None:
    """D is linear, so the noise cancels: x - D(x) = x sigma^2 / (1 + sigma^2); a window of 9 holds the whole fault."""
    found = local_residual(energy, images((3, 4), (20, 11)), SIGMA)
    share = SIGMA**2 / (1 + SIGMA**2)
    torch.testing.assert_close(found, torch.full((2,), 2 * math.log(2 * share)), rtol=1e-4, atol=1e-4)


def test_half_a_fault_counts_half() -> None:
    whole, half = images((12, 11)), images((12, 11))
    half[:, :, 12:21, 11:20] *= (torch.arange(81).reshape(9, 9) < 40.5).float()
    difference = local_residual(Shrink(), whole, SIGMA) - local_residual(Shrink(), half, SIGMA)
    assert float(difference) == pytest.approx(math.log(81 / 41), abs=1e-3)


def test_a_row_does_not_depend_on_the_rows_beside_it_nor_on_the_call() -> None:
    torch.manual_seed(3)
    x = torch.randn(5, 1, 32, 32)
    bent = lambda x, sigma: (x.flatten(1).square().sum(1) / 3 + torch.sin(2 * x).flatten(1).sum(1)) / 2  # noqa: E731
    together = local_residual(bent, x, SIGMA)
    torch.manual_seed(4)
    alone = torch.cat([local_residual(bent, row[None], SIGMA) for row in x])
    torch.testing.assert_close(together, alone)
    assert together.std() > 0


def test_its_gradient_is_that_of_finite_differences() -> None:
    x = images((3, 4)).double().requires_grad_(True)
    bent = lambda x, sigma: torch.cosh(x).flatten(1).sum(1)  # noqa: E731
    (gradient,) = torch.autograd.grad(local_residual(bent, x, SIGMA).sum(), x)
    step = torch.zeros_like(x)
    step[0, 0, 7, 8] = 1e-5
    with torch.no_grad():
        ahead, behind = (local_residual(bent, x + s * step, SIGMA) for s in (1, -1))
    assert float(gradient[0, 0, 7, 8]) == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-4)


def test_an_expert_asks_for_it() -> None:
    x = images((3, 4))
    assert torch.equal(
        Expert("term", SIGMA, 1.0, True).energy(Shrink(), x), local_residual(Shrink(), x, SIGMA)
    )
    assert torch.equal(Expert("term", SIGMA, 1.0).energy(Shrink(), x), Shrink()(x, SIGMA))
