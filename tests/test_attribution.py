"""Contributions along a line against closed forms."""

from __future__ import annotations

import torch
from torch import Tensor

from ebm.attribution import MAX_POINTS, path_contributions
from ebm.steps import finish

OWN = torch.arange(4)


def rows(n: int = 50, d: int = 4) -> Tensor:
    return torch.randn((n, d), generator=torch.Generator().manual_seed(0))


def test_on_the_ray_of_an_isotropic_gaussian_contributions_go_with_the_squares() -> None:
    x = 3 * rows()
    found = finish(path_contributions(lambda x: x.square().sum(1) / 2, 0.25 * x, x, OWN, 4))
    expected = (1 - 0.25**2) * x.double().square() / 2
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_linear_energy_is_attributed_exactly() -> None:
    weights = torch.tensor([1.0, -2.0, 0.0, 0.5])
    start, end = rows(), rows().flip(0)
    found = finish(path_contributions(lambda x: x @ weights, start, end, OWN, 4))
    torch.testing.assert_close(found, ((end - start) * weights).double(), rtol=1e-5, atol=1e-5)


def test_coordinates_of_one_column_are_summed() -> None:
    weights = torch.tensor([1.0, 2.0, 4.0, 8.0])
    start, end = torch.zeros(1, 4), torch.ones(1, 4)
    found = finish(path_contributions(lambda x: x @ weights, start, end, torch.tensor([1, 0, 1, 1]), 3))
    torch.testing.assert_close(found, torch.tensor([[2.0, 13.0, 0.0]], dtype=torch.float64))


def test_a_sharp_bend_is_refined_and_the_sum_is_exact() -> None:
    # Nearly all of the energy is gained in the last hundredth of the way.
    def energy(x: Tensor) -> Tensor:
        return torch.nn.functional.softplus(400 * (x[:, 0] - 0.99)) + x[:, 1] + 2 * x[:, 2]

    start, end = torch.zeros(2, 3), torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    steps = path_contributions(energy, start, end, torch.arange(3), 3)
    found = finish(steps)
    torch.testing.assert_close(found.sum(1), energy(end).double() - energy(start).double(), rtol=1e-9, atol=0)
    # The first row's bend: 4.02 of 5.02. The second row has none.
    torch.testing.assert_close(found[0, 0].item(), 4.0181, rtol=0.01, atol=0)
    torch.testing.assert_close(
        found[1], torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64), rtol=1e-5, atol=1e-6
    )


def test_only_rows_that_need_it_are_refined() -> None:
    seen: list[int] = []

    def energy(x: Tensor) -> Tensor:
        seen.append(len(x))
        return torch.nn.functional.softplus(400 * (x[:, 0] - 0.99))

    end = torch.tensor([[1.0], [0.5], [0.0]])
    finish(path_contributions(energy, torch.zeros(3, 1), end, torch.zeros(1, dtype=torch.long), 1))
    assert seen[:2] == [3, 3] and seen[2] == 2  # the third row does not move
    assert seen[-1] == 1 and len(seen) <= 2 + 2 * MAX_POINTS


def test_a_jump_has_no_gradient_and_is_shared_by_displacement() -> None:
    end = torch.tensor([[2.0, 1.0, 0.0]])
    found = finish(
        path_contributions(
            lambda x: 5.0 * (x[:, 0] > 1) + 0 * x.sum(1), torch.zeros(1, 3), end, torch.arange(3), 3
        )
    )
    torch.testing.assert_close(found, torch.tensor([[4.0, 1.0, 0.0]], dtype=torch.float64))
