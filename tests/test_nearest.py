"""The search for the nearest normal version on energies whose level sets are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ebm.nearest import Surroundings, descend, nearest_normal, pull_back
from ebm.parzen import Parzen, nearest
from ebm.samplers.gradient import energy_and_gradient
from ebm.steps import finish


def around(level: float, d: int = 3) -> Surroundings:
    return Surroundings(
        level=level,
        target=level / 2,
        owners=torch.arange(d),
        n_columns=d,
        discrete=torch.zeros(d, dtype=torch.bool),
        project=lambda x: x,
        donors=None,
        landmarks=torch.zeros(1, d),
    )


def bowl(x: Tensor) -> Tensor:
    return x.square().sum(1) / 2


def far(n: int = 40, d: int = 3) -> Tensor:
    return 2 * torch.randn((n, d), generator=torch.Generator().manual_seed(0)) + 1


def test_in_a_round_bowl_it_is_the_nearest_point_of_the_level_set() -> None:
    x = far()
    found = finish(nearest_normal(bowl, x, around(2.0), sparse=False))
    expected = 2 * x / x.norm(dim=1, keepdim=True)  # |x*|^2 / 2 = 2
    above = bowl(x) > 2
    torch.testing.assert_close(found[above], expected[above], rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(found[~above], x[~above], rtol=0, atol=0)
    assert above.any() and not above.all()


def test_the_sparse_answer_changes_only_the_column_at_fault() -> None:
    x = torch.tensor([[9.0, 0.5, -0.5], [0.5, -9.0, 0.5]])
    found = finish(nearest_normal(bowl, x, around(2.0), sparse=True))
    assert (found != x).tolist() == [[True, False, False], [False, True, False]]
    assert (bowl(found) <= 2).all() and (bowl(found) > 1.95).all()
    dense = finish(nearest_normal(bowl, x, around(2.0), sparse=False))
    assert (dense != x).all()


def test_a_step_that_overshoots_is_shortened() -> None:
    # Far out the energy grows like a logarithm, and the first step would land three times as far on the other side.
    def energy(x: Tensor) -> Tensor:
        return 5 * (1 + x.square().sum(1)).log()

    found = finish(descend(energy, torch.tensor([[100.0, 10.0], [0.1, 0.0]]), 0.5))
    assert (energy(found) <= 0.5).all() and found[1].tolist() == pytest.approx([0.1, 0.0])
    assert found[0, 0] / found[0, 1] == pytest.approx(10, rel=1e-3)  # straight towards the centre


def test_on_the_way_back_a_category_stays_and_a_number_moves() -> None:
    # Coordinates 1 and 2 are a number and its null indicator, 0 a category.
    parts = replace(around(2.0), owners=torch.tensor([0, 1, 1]), n_columns=2)
    parts = replace(parts, discrete=torch.tensor([True, False, True]))
    x, deep = (
        torch.tensor([[3.0, 4.0, 0.5], [3.0, 4.0, 3.0]]),
        torch.tensor([[0.5, 0.0, 0.5], [0.5, 0.0, 0.5]]),
    )
    found = finish(pull_back(bowl, x, deep, parts))
    assert found[0, 0] == 0.5 and found[0, 2] == 0.5 and 1.8 < found[0, 1] < 2  # E = 2
    assert found[1].tolist() == deep[1].tolist()  # the number was null: it comes with the indicator


def test_on_a_plateau_it_goes_to_the_nearest_normal_donor() -> None:
    def energy(x: Tensor) -> Tensor:  # flat beyond a distance of 2 from (5, 5)
        return (x - 5).square().sum(1).clamp_max(4.0)

    x = torch.tensor([[-20.0, 0.0]])
    assert energy_and_gradient(energy, x)[1].abs().max() == 0
    donors = Parzen(torch.tensor([[0.0, 0.0], [5.0, 5.5], [5.5, 5.0], [90.0, 0.0]]), torch.ones(4))
    found = finish(nearest_normal(energy, x, replace(around(1.0, 2), donors=donors), sparse=False))
    assert 0.9 < energy(found).item() <= 1
    # On the line to (5, 5.5), the nearest of the two donors that are normal.
    direction = (found - x) / (found - x).norm()
    torch.testing.assert_close(direction, torch.tensor([[25.0, 5.5]]) / torch.tensor([25.0, 5.5]).norm())
    # Without donors the landmarks serve; without anything normal, what lies lowest.
    landmarks = replace(around(1.0, 2), landmarks=torch.tensor([[5.0, 5.0], [0.0, 0.0]]))
    assert energy(finish(nearest_normal(energy, x, landmarks, sparse=True))).item() <= 1
    low = replace(around(1.0, 2), landmarks=torch.tensor([[5.0, 6.5], [0.0, 0.0]]))
    assert finish(nearest_normal(energy, x, low, sparse=True)).tolist() == [[5.0, 6.5]]


def test_the_answer_is_a_valid_row_and_still_normal() -> None:
    valid = replace(around(2.0), project=lambda x: torch.cat([x[:, :2], x[:, 2:].round()], 1))
    valid = replace(valid, discrete=torch.tensor([False, False, True]))
    x = torch.cat([far()[:, :2], far()[:, 2:].round()], 1)
    for sparse in (True, False):
        found = finish(nearest_normal(bowl, x, valid, sparse=sparse))
        torch.testing.assert_close(found[:, 2], found[:, 2].round(), rtol=0, atol=0)
        assert (bowl(found) <= 2).all()


def test_an_extreme_cell_does_not_drag_the_others_along() -> None:
    # Two clusters, (0, 0, 0) and (9, 9, 9); the row is of the first, but for a cell that lies beyond the second.
    centres = torch.tensor([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
    donors = Parzen(centres, torch.full((2,), 0.5))

    def energy(x: Tensor) -> Tensor:
        return -(-torch.cdist(x, centres).square()).logsumexp(1)

    x = torch.tensor([[30.0, 0.0, 0.0]])
    found = finish(nearest_normal(energy, x, replace(around(1.0), donors=donors), sparse=True))
    assert found[0, 1:].tolist() == [0.0, 0.0] and 0.9 < found[0, 0] <= 1
    alone = finish(nearest_normal(energy, x, around(1.0), sparse=True))
    assert alone[0, 1] > 5  # what it would be without the donors


def test_nearest_rows_come_nearest_first() -> None:
    rows = torch.tensor([[0.0], [5.0], [6.0]])
    assert nearest(rows, torch.tensor([[4.0], [0.2]]), 2).squeeze(2).tolist() == [[5.0, 6.0], [0.0, 5.0]]
    assert nearest(rows, torch.zeros(1, 1), 9).shape == (1, 3, 1)
