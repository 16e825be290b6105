"""Few rows for many: mass is kept, and spread is what was lost."""

from __future__ import annotations

import torch

from ebm.energies.inducing import inducing_points


def clusters() -> torch.Tensor:
    """10, 20 and 70 rows around three distant points."""
    noise = 0.1 * torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    centres = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])
    return centres.repeat_interleave(torch.tensor([10, 20, 70]), 0) + noise


def test_every_row_is_put_to_the_nearest_point_which_is_a_row() -> None:
    x = clusters()
    points = inducing_points(x, 3)
    assert sorted(points.masses.tolist()) == [10, 20, 70]
    chosen = x[points.index]
    assert torch.equal(points.member, torch.cdist(x, chosen).argmin(1))
    assert torch.equal(torch.bincount(points.member).float(), points.masses)


def test_spread_is_the_mean_squared_distance_of_the_members() -> None:
    x = clusters()
    points = inducing_points(x, 3)
    g = x * torch.tensor([1.0, 3.0])  # in another view than the one that chose them
    expected = [
        float((g[points.member == k] - g[points.index[k]]).square().sum(1).mean())
        for k in range(len(points.index))
    ]
    torch.testing.assert_close(points.spread(g), torch.tensor(expected))


def test_masses_sum_to_the_rows_and_the_points_are_distinct() -> None:
    x = torch.randn(500, 4, generator=torch.Generator().manual_seed(1))
    points = inducing_points(x, 32)
    assert points.masses.sum() == 500 and (points.masses >= 1).all()
    assert 16 < len(points.index) <= 32 and len(points.index.unique()) == len(points.index)


def test_duplicates_leave_fewer_points_and_no_empty_one() -> None:
    x = torch.tensor([[0.0], [1.0], [2.0]]).repeat(50, 1)
    points = inducing_points(x, 3)
    assert points.masses.tolist() == [50, 50, 50]
    assert points.spread(x).tolist() == [0, 0, 0]


def test_the_seed_decides() -> None:
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(inducing_points(x, 20, seed=5).index, inducing_points(x, 20, seed=5).index)
    assert not torch.equal(inducing_points(x, 20, seed=5).index, inducing_points(x, 20, seed=6).index)
