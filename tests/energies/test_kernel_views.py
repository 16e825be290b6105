"""Kernels over views against the sums of their definition, and against themselves without a row."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor

from ebm.energies import KernelViews, KernelViewsConfig
from ebm.energies.inducing import InducingPoints
from ebm.errors import BadInput

# (alpha, f), in the order of the weights.
EXPERTS = ((0, 1), (0.5, 1), (1, 1), (0, 4), (0.5, 4))


def rows(n: int, d: int = 3, seed: int = 0) -> Tensor:
    z = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return torch.cat([z[:, :1].exp(), z[:, 1:] + 0.5 * z[:, :1]], 1)


def fitted(x: Tensor, **config: object) -> KernelViews:
    energy = KernelViewsConfig.model_validate(config).build(tuple(x.shape[1:]))
    assert isinstance(energy, KernelViews)
    energy.fit(x)
    return energy


def direct(energy: KernelViews, x: Tensor, centres: Tensor, neighbour: int = 5) -> np.ndarray:
    """(B, V, 5) by the definition, in numpy; views aside, nothing of the module is used."""
    d = x.shape[1]
    answers = []
    for view in energy.views:
        a, g = view(x.double()).numpy(), view(centres.double()).numpy()
        among = ((g[:, None] - g[None]) ** 2).sum(2)
        r = np.sort(among, axis=1)[:, neighbour]
        m = max(float(np.median(r)), 1e-3 * d)
        r = np.maximum(r, 0.05 * m)
        squared = ((a[:, None] - g[None]) ** 2).sum(2)
        for alpha, f in EXPERTS:
            s2 = f * 2 * m / d * (r / m) ** alpha
            answers.append(-logsumexp(-squared / (2 * s2), axis=1))
    return np.stack(answers, 1).reshape(len(x), len(energy.views), len(EXPERTS))


@pytest.mark.parametrize("neighbour", [1, 5])
def test_experts_are_the_sums_of_their_definition(neighbour: int) -> None:
    x = rows(51)  # odd, so that the median is one of them
    energy = fitted(x, neighbour=neighbour).double()
    queries = torch.cat(
        [x, rows(20, seed=1), 30 * rows(10, seed=2)]
    )  # the last where every kernel underflows
    found = energy.expert_energies(queries.double()).numpy()
    # Kernels below e^-21.5 of the largest count as e^-21.5 at the wider bandwidth: 50 of them are 2e-8.
    np.testing.assert_allclose(found, direct(energy, queries, x, neighbour), rtol=1e-5, atol=1e-5)


def test_the_energy_is_the_weighted_sum_of_experts_standardised_on_rows_left_out() -> None:
    x, queries = rows(60), rows(30, seed=1)
    energy = fitted(x)
    left_out = energy.expert_energies(x, own=torch.arange(60))
    mean, sd = left_out.mean(0), left_out.std(0)
    expected = ((energy.expert_energies(queries) - mean) / sd * energy.weights).sum((1, 2))
    torch.testing.assert_close(energy(queries), expected)
    torch.testing.assert_close(energy.weights.sum(), torch.tensor(1.0))
    assert abs(float(energy.leave_one_out(x).mean())) < 1e-5


# -- leaving a row out ----------------------------------------------------------------------------------------------


def without(energy: KernelViews, i: int) -> KernelViews:
    """The same energy, bandwidths and standardisation and all, that never had row i."""
    state = dict(energy.state_dict())
    keep = torch.arange(len(energy.centres)) != i
    for name in ("centres", "masses"):
        state[name] = state[name][keep]
    for name in ("radii", "spreads"):
        state[name] = state[name][:, keep]
    other = copy.deepcopy(energy)
    other.load_state_dict(state)
    return other


@pytest.mark.parametrize("duplicates", [False, True])
def test_a_row_left_out_is_the_energy_without_it(duplicates: bool) -> None:
    x = rows(30)
    if duplicates:
        x[5], x[6] = x[0], x[0]
    energy = fitted(x)
    found = energy.leave_one_out(x)
    expected = torch.cat([without(energy, i)(x[i : i + 1]) for i in range(30)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (energy(x) < found - 1e-3).all()


def test_the_order_and_number_of_the_rows_asked_for_do_not_matter() -> None:
    x = rows(300)
    energy = fitted(x)
    some = torch.tensor([17, 3, 250])
    torch.testing.assert_close(energy.leave_one_out(x[some]), energy.leave_one_out(x)[some])


# -- fewer centres --------------------------------------------------------------------------------------------------


def test_every_row_its_own_inducing_point_is_the_exact_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    x, queries = rows(40), rows(50, seed=1)
    energy = fitted(x, n_inducing=None)
    small = copy.deepcopy(energy)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    points = InducingPoints(order, torch.ones(40), order.argsort())
    monkeypatch.setattr("ebm.energies.kernel_views.inducing_points", lambda *_: points)
    small.compress(40)
    assert torch.equal(small.centres, x[order])
    torch.testing.assert_close(small(queries), energy(queries), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(small.leave_one_out(x), energy.leave_one_out(x), rtol=1e-4, atol=1e-4)


def test_duplicates_compress_without_loss() -> None:
    distinct = rows(40)
    x, queries = distinct.repeat(5, 1), rows(50, seed=1)
    energy = fitted(x, n_inducing=None, neighbour=6)
    small = copy.deepcopy(energy)
    small.compress(40)
    assert small.masses.tolist() == [5.0] * 40
    torch.testing.assert_close(small(queries), energy(queries), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(small.leave_one_out(x), energy.leave_one_out(x), rtol=1e-4, atol=1e-4)


def test_compressed_experts_are_the_sums_of_their_definition() -> None:
    x, queries = rows(401), rows(30, seed=1)
    exact, energy = fitted(x, n_inducing=None), fitted(x, n_inducing=32)
    assert energy.masses.sum() == 401 and len(energy.centres) <= 32
    index = torch.cdist(energy.centres, x).argmin(1)
    assert torch.equal(energy.centres, x[index])
    views = torch.cat([view(x) for view in energy.views], 1)
    member = torch.cdist(views, views[index]).argmin(1)
    assert torch.equal(torch.bincount(member).float(), energy.masses)
    for v, view in enumerate(energy.views):
        g, a = view(x), view(queries)
        m = exact.radii[v].median()
        lost = (g - g[index][member]).square().sum(1)
        spread = torch.stack([lost[member == k].mean() for k in range(len(index))]) / 3
        for e, (alpha, f) in enumerate(EXPERTS):
            s2 = f * (2 * m / 3 * (exact.radii[v][index] / m) ** alpha + spread)
            log_kernels = energy.masses.log() - torch.cdist(a, g[index]).square() / (2 * s2)
            torch.testing.assert_close(
                energy.expert_energies(queries)[:, v, e], -log_kernels.logsumexp(1), rtol=1e-4, atol=1e-3
            )


def test_in_a_compressed_energy_a_row_leaves_with_its_mass() -> None:
    x = rows(200)
    energy = fitted(x, n_inducing=16)
    views = torch.cat([view(x) for view in energy.views], 1)
    centres = torch.cat([view(energy.centres) for view in energy.views], 1)
    found = energy.leave_one_out(x)
    for i in (0, 57, 199):
        other = copy.deepcopy(energy)
        other.masses[torch.cdist(views[i : i + 1], centres).argmin()] -= 1
        torch.testing.assert_close(found[i : i + 1], other(x[i : i + 1]), rtol=1e-4, atol=1e-4)


def test_at_most_so_many_rows_are_kept_and_they_are_rows() -> None:
    x = rows(300)
    energy = fitted(x, max_rows=100)
    assert len(energy.centres) == 100 and energy.masses.tolist() == [1] * 100
    index = torch.cdist(energy.centres, x).argmin(1)
    assert torch.equal(energy.centres, x[index]) and len(index.unique()) == 100
    assert index.float().std() > 60  # from everywhere: a uniform sample of 300 has 87


# -- weights --------------------------------------------------------------------------------------------------------


def test_the_view_that_sees_the_structure_weighs_most() -> None:
    # Heavy-tailed columns that move together: z-scores see one lump, ranks see the line.
    z = torch.randn(400, 1, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(400, 2, generator=torch.Generator().manual_seed(1))
    energy = fitted((3 * z + 0.1 * noise).exp())
    by_view = dict(zip(energy.config.views, energy.weights.sum(1).tolist(), strict=True))
    assert by_view["quantile"] > 0.6
    assert by_view["quantile"] > 5 * by_view["standard"]


def test_equal_weights_on_demand_and_where_rows_are_few() -> None:
    equal = torch.full((3, 5), 1 / 15)
    torch.testing.assert_close(fitted(rows(100), weighting="equal").weights, equal)
    torch.testing.assert_close(fitted(rows(19)).weights, equal)
    assert fitted(rows(20)).weights.std() > 0.001


# -- odd tables -----------------------------------------------------------------------------------------------------

GRID = (torch.arange(200) % 7).float()[:, None].repeat(1, 2)
ODD = {
    "two_rows": torch.tensor([[0.0, 1.0], [2.0, 1.5]]),
    "two_equal_rows": torch.ones(2, 3),
    "three_rows_one_column": torch.tensor([[0.0], [1.0], [5.0]]),
    "one_column": rows(50)[:, :1],
    "ties": GRID,
    "duplicates": rows(10).repeat(10, 1),
    "constant_columns": torch.cat([rows(50), torch.ones(50, 3)], 1),
    "all_equal": torch.ones(50, 2),
    "mostly_zero": rows(100) * (torch.arange(100) % 25 == 0)[:, None],
    "wide": rows(30, 400),
    "large": 1e15 * rows(50),
    "small": 1e-12 * rows(50),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_tables_have_finite_energies_that_grow(name: str) -> None:
    x = ODD[name]
    energy = fitted(x)
    own, left_out = energy(x), energy.leave_one_out(x)
    assert torch.isfinite(own).all() and torch.isfinite(left_out).all()
    assert torch.isfinite(energy.weights).all() and torch.isfinite(energy.width) and energy.width > 0
    beyond = x[:3] + 100 * x.abs().amax(0)
    assert torch.isfinite(energy(beyond)).all() and energy(beyond).min() > own.max()


@pytest.mark.parametrize("near", [rows(50), rows(10).repeat(10, 1)], ids=["distinct", "duplicates"])
def test_rows_beyond_all_numbers_are_infinitely_anomalous(near: Tensor) -> None:
    far = torch.tensor([[1e30, 0.0, 0.0], [-1e38, 1e38, 1e38], [3e38, -3e38, 3e38]])
    out = fitted(near)(far)
    assert out.tolist() == [torch.inf] * 3


def test_a_rows_energy_is_the_same_to_the_bit_in_any_batch_of_whole_blocks() -> None:
    x, queries = rows(300), rows(880, seed=1)  # 873 x 300 distances fit the cache, which would leave 7 rows
    energy = fitted(x)
    whole = energy(queries)
    parts = torch.cat([energy(part) for part in queries.split(16)])
    assert torch.equal(parts, whole)


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(BadInput, match="at least 2 training rows, got 1"):
        fitted(rows(1))
    with pytest.raises(BadInput, match="call fit first"):
        KernelViewsConfig().build((2,))(torch.zeros(1, 2))
    with pytest.raises(BadInput, match="no noise levels"):
        fitted(rows(10))(rows(2), sigma=0.1)
