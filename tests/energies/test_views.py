"""Views against scipy's ranks and moments, and against each other where columns say the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kurtosis, norm, rankdata
from torch import Tensor

from ebm.energies.views import View, ViewName, copies, shoulder_factor

VIEWS: tuple[ViewName, ...] = ("standard", "quantile", "tail")
every_view = pytest.mark.parametrize("name", VIEWS)


def fitted(name: ViewName, x: Tensor) -> View:
    view = View(name, x.shape[1])
    view.fit(x)
    return view


def skewed(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).exp()


def normal_scores(x: np.ndarray) -> np.ndarray:
    scores = norm.ppf((rankdata(x) - 0.5) / len(x))
    return (scores - scores.mean()) / scores.std()


def test_standard_is_the_z_score_everywhere() -> None:
    x, queries = skewed(50), 100 * (skewed(20, seed=1) - 1)
    expected = (queries - x.mean(0)) / x.std(0, correction=0)
    torch.testing.assert_close(fitted("standard", x)(queries), expected)


@pytest.mark.parametrize("digits", [6, 1], ids=["distinct", "ties"])
def test_quantile_is_the_normal_score_of_the_mid_rank(digits: int) -> None:
    x = skewed(400).round(decimals=digits)
    expected = np.stack([normal_scores(column) for column in x.numpy().T], 1)
    np.testing.assert_allclose(fitted("quantile", x)(x).numpy(), expected, atol=1e-9)


def test_quantile_of_more_values_than_knots_stays_close() -> None:
    x = skewed(6000)
    found = fitted("quantile", x)(x).numpy()
    expected = np.stack([normal_scores(column) for column in x.numpy().T], 1)
    assert np.abs(found - expected).max() < 0.02
    assert np.abs(found.mean(0)).max() < 1e-3 and np.abs(found.std(0) - 1).max() < 1e-3


@every_view
def test_increasing_and_linear_beyond_the_training_range(name: ViewName) -> None:
    x = skewed(200)
    view = fitted(name, x)
    low, high = x.min(0).values, x.max(0).values
    grid = low - 5 + (high - low + 10) * torch.linspace(0, 1, 3000, dtype=x.dtype)[:, None]
    steps = view(grid).diff(dim=0)
    assert (steps >= 0).all()
    for end, way in ((low, -1), (high, 1)):
        at = torch.stack([end, end + way, end + 2 * way, end + 1000 * way])
        y = view(at)
        slope = (y[1] - y[0]) * way
        assert (slope > 0).all()
        torch.testing.assert_close(y[2] - y[1], y[1] - y[0])
        torch.testing.assert_close(y[3] - y[0], 1000 * way * slope)


def test_quantile_goes_on_at_the_average_slope() -> None:
    x = skewed(400)
    scores = norm.ppf((np.arange(400) + 0.5) / 400)
    expected = 1 / (x.numpy().std(0) * scores.std())
    beyond = x.max(0).values + torch.tensor([[0.0], [1.0]], dtype=x.dtype)
    np.testing.assert_allclose(fitted("quantile", x)(beyond).diff(dim=0)[0].numpy(), expected)


def test_quantile_view_has_the_gradient_of_its_pieces() -> None:
    x = skewed(100)
    view = fitted("quantile", x)
    at = (skewed(30, seed=2) * 2 - 1).requires_grad_(True)  # some below, some above the range
    (gradient,) = torch.autograd.grad(view(at).sum(), at)
    h = 1e-8
    torch.testing.assert_close(
        gradient, (view(at + h) - view(at - h)).detach() / (2 * h), rtol=1e-5, atol=1e-5
    )
    assert (gradient > 0).all()


def test_tail_divides_by_the_factor_of_the_shoulders() -> None:
    x = torch.from_numpy(np.random.default_rng(0).laplace(size=(501, 1)))
    z = (x - x.mean(0)) / x.std(0, correction=0)
    low, high = np.quantile(z, [0.02, 0.98])
    inner = z.numpy()[(z.numpy() >= low) & (z.numpy() <= high)]
    factor = 1 + 0.33 * kurtosis(inner)
    assert factor != pytest.approx(1, abs=0.05)
    assert shoulder_factor(z[:, 0]) == pytest.approx(factor)
    torch.testing.assert_close(fitted("tail", x)(x), z / factor)


def test_shoulder_factors_are_bounded() -> None:
    # Two points: kurtosis 1. Rare large values among equal ones: kurtosis in the hundreds.
    assert shoulder_factor(torch.tensor([-1.0, 1.0]).repeat(50)) == pytest.approx(1 - 0.66)
    rare = torch.zeros(10_000)
    rare[:220] = torch.linspace(1, 2, 220)  # 20 of them within the quantiles
    rare[220:440] = -rare[:220]
    assert shoulder_factor(rare * 100) == 6.0
    assert shoulder_factor(torch.full((100,), 2.0)) == 1.0


# -- columns of few values, copies, constants -----------------------------------------------------------------------


@every_view
def test_levels_are_at_their_distance_over_the_range(name: ViewName) -> None:
    rare = torch.zeros(500, 2, dtype=torch.float64)
    rare[:3, 0] = 1  # one in 167
    rare[:, 1] = torch.arange(500) % 10 * 7.0
    view = fitted(name, rare)
    y = view(torch.tensor([[0.0, 0.0], [1.0, 63.0], [0.5, 21.0]], dtype=torch.float64))
    torch.testing.assert_close((y[1] - y[0]).tolist(), [1.0, 1.0])
    torch.testing.assert_close((y[2] - y[0]).tolist(), [0.5, 1 / 3])


@every_view
def test_an_eleventh_value_makes_it_a_matter_of_degree(name: ViewName) -> None:
    ten, eleven = (torch.arange(k * 20, dtype=torch.float64)[:, None] % k for k in (10, 11))
    ends = [float(fitted(name, x)(x[[0, len(x) - 1]]).diff(dim=0).abs()) for x in (ten, eleven)]
    assert fitted(name, ten).affine
    assert ends[0] == pytest.approx(0.9 / 0.9) and ends[1] > 2


@every_view
def test_exact_copies_count_as_one_column(name: ViewName) -> None:
    x = skewed(100)
    copied = torch.cat([x, 3 - 2 * x[:, :1], x[:, :1]], 1) if name != "quantile" else x[:, [0, 1, 0, 0]]
    assert copies(copied).tolist() == [3, 1, 3, 3]
    one, three = fitted(name, x)(x), fitted(name, copied)(copied)
    squared = [(y[:, None] - y[None]).square().sum(2) for y in (one, three)]
    torch.testing.assert_close(*squared)


def test_copies_are_not_what_is_merely_correlated_or_constant() -> None:
    x = skewed(100)
    nearly = x[:, :1] + 0.1 * x[:, 1:]
    constant = torch.ones(100, 1, dtype=x.dtype)
    assert copies(torch.cat([x, nearly, constant, constant], 1)).tolist() == [1] * 5


@every_view
def test_a_constant_column_still_sees_another_value(name: ViewName) -> None:
    view = fitted(name, torch.full((30, 1), 4.0))
    assert view(torch.tensor([[4.0], [6.0], [1.0]])).flatten().tolist() == [0.0, 2.0, -3.0]


@every_view
@pytest.mark.parametrize(
    "x",
    [torch.tensor([[1.0], [2.0]]), torch.tensor([[1e-30], [2e-30]]), torch.zeros(2, 1), 1e6 + torch.eye(40)],
    ids=["two_rows", "tiny", "equal", "far_from_zero"],
)
def test_odd_columns_stay_finite(name: ViewName, x: Tensor) -> None:
    view = fitted(name, x)
    for rows in (x, x + 1, -x):
        assert torch.isfinite(view(rows)).all() and view(rows).dtype == torch.float32


@every_view
def test_loaded_views_are_the_same(name: ViewName) -> None:
    x = skewed(100).float()
    view, other = fitted(name, x), View(name, 2)
    other.load_state_dict(view.state_dict())
    assert torch.equal(other(3 * x - 2), view(3 * x - 2))
