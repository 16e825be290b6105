"""Analytic energies against numerical integration, closed-form gradients and their own draws."""

import math

import pytest
import torch
from torch import nn

from ebm.energies.analytic import Gamma, Gaussian, GaussianMixture, Laplace
from ebm.errors import BadConfig, Unsupported
from ebm.samplers.gradient import energy_and_gradient

T = torch.tensor


def precision(d: int) -> torch.Tensor:
    root = torch.randn((d, d), generator=torch.Generator().manual_seed(3))
    return root @ root.T / d + torch.eye(d)


def gaussian(d: int) -> Gaussian:
    return Gaussian(torch.linspace(-1, 1, d) if d > 1 else T([0.3]), precision(d))


def mixture(d: int) -> GaussianMixture:
    return GaussianMixture(T([[-1.5] * d, [1.0] * d]), T([0.4, 0.8]), T([1.0, 3.0]))


def laplace(d: int) -> Laplace:
    return Laplace(T([0.3, -0.5])[:d], T([0.5, 1.2])[:d])


def gamma(d: int) -> Gamma:
    return Gamma(T([2.5, 3.0])[:d], T([1.5, 3.0])[:d])


MAKERS = {"gaussian": gaussian, "mixture": mixture, "laplace": laplace, "gamma": gamma}
SMOOTHED = ["gaussian", "mixture", "laplace"]


def integral(energy: nn.Module, d: int, sigma: float | None = None) -> float:
    """Integral of exp(-E) over a wide grid, at midpoints."""
    n, low, high = (20_001, -25.0, 25.0) if d == 1 else (1_201, -12.0, 12.0)
    edge = torch.linspace(low, high, n, dtype=torch.float64)
    middle = (edge[1:] + edge[:-1]) / 2
    grid = torch.cartesian_prod(*[middle] * d).reshape(-1, d)
    return float((-energy.double()(grid, sigma)).exp().sum() * (edge[1] - edge[0]) ** d)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("name", MAKERS)
def test_log_z_is_the_integral(name: str, d: int) -> None:
    energy = MAKERS[name](d)
    assert math.log(integral(energy, d)) == pytest.approx(float(energy.log_z), abs=2e-3)


@pytest.mark.parametrize("sigma", [0.2, 1.5])
@pytest.mark.parametrize("name", SMOOTHED)
def test_log_z_holds_for_the_smoothed_energy(name: str, sigma: float) -> None:
    energy = MAKERS[name](2)
    assert math.log(integral(energy, 2, sigma)) == pytest.approx(float(energy.log_z), abs=2e-3)


@pytest.mark.parametrize("sigma", [0.3, 2.0])
@pytest.mark.parametrize("name", SMOOTHED)
def test_smoothed_energy_is_the_convolution(name: str, sigma: float) -> None:
    energy = MAKERS[name](1).double()
    nodes = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    points = T([-2.0, 0.1, 1.7], dtype=torch.float64)
    density = (-energy(nodes[:, None])).exp()
    kernel = (-0.5 * ((points[:, None] - nodes) / sigma) ** 2).exp() / (sigma * math.sqrt(2 * math.pi))
    expected = -((kernel * density).sum(dim=1) * (nodes[1] - nodes[0])).log()
    torch.testing.assert_close(energy(points[:, None], sigma), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SMOOTHED)
def test_sigma_may_differ_by_row(name: str) -> None:
    energy = MAKERS[name](2)
    x = torch.randn((3, 2), generator=torch.Generator().manual_seed(0))
    sigmas = T([0.1, 0.7, 3.0])
    one_by_one = torch.cat([energy(x[i : i + 1], float(s)) for i, s in enumerate(sigmas)])
    torch.testing.assert_close(energy(x, sigmas), one_by_one)


@pytest.mark.parametrize("name", SMOOTHED)
def test_little_smoothing_changes_little(name: str) -> None:
    energy = MAKERS[name](2)
    x = torch.randn((50, 2), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(energy(x, 1e-3), energy(x), atol=5e-3, rtol=1e-3)


def test_gradients_in_closed_form() -> None:
    x = torch.rand((20, 2), generator=torch.Generator().manual_seed(1)) + 0.1
    g = gaussian(2)
    torch.testing.assert_close(energy_and_gradient(g, x)[1], (x - g.mean) @ precision(2))

    sigma = 0.7
    smoothed = torch.linalg.inv(torch.linalg.inv(precision(2)) + sigma**2 * torch.eye(2))
    gradient = energy_and_gradient(lambda y: g(y, sigma), x)[1]
    torch.testing.assert_close(gradient, (x - g.mean) @ smoothed, rtol=1e-4, atol=1e-5)

    lap = laplace(2)
    torch.testing.assert_close(energy_and_gradient(lap, x)[1], (x - lap.mean).sign() / lap.scale)

    gam = gamma(2)
    torch.testing.assert_close(energy_and_gradient(gam, x)[1], gam.rate - (gam.shape - 1) / x)

    mix = mixture(2)
    sds, weights = T([0.4, 0.8]), T([0.25, 0.75])
    away = x[:, None, :] - mix.means
    parts = weights * (-(away**2).sum(2) / (2 * sds**2)).exp() / sds**2
    share = parts / parts.sum(dim=1, keepdim=True)
    expected = (share[:, :, None] * away / sds[:, None] ** 2).sum(dim=1)
    torch.testing.assert_close(energy_and_gradient(mix, x)[1], expected, rtol=1e-4, atol=1e-5)


MOMENTS = {
    "gaussian": (gaussian(2).mean, torch.linalg.inv(precision(2)).diagonal()),
    # Mean .25 * -1.5 + .75 * 1; variance: within .25 * .16 + .75 * .64, between .25 * .75 * 2.5^2.
    "mixture": (T([0.375, 0.375]), T([1.691875, 1.691875])),
    "laplace": (T([0.3, -0.5]), 2 * T([0.5, 1.2]) ** 2),
    "gamma": (T([2.5 / 1.5, 1.0]), T([2.5 / 1.5**2, 3 / 9])),
}


@pytest.mark.parametrize("name", MAKERS)
def test_draws_have_the_moments(name: str) -> None:
    x = MAKERS[name](2).sample(100_000, torch.Generator().manual_seed(0))
    mean, variance = MOMENTS[name]
    assert x.shape == (100_000, 2)
    torch.testing.assert_close(x.mean(dim=0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(x.var(dim=0), variance, atol=0, rtol=0.03)
    again = MAKERS[name](2).sample(100_000, torch.Generator().manual_seed(0))
    assert torch.equal(x, again)


def test_gaussian_draws_have_the_covariance() -> None:
    x = gaussian(3).sample(200_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.cov(x.T), torch.linalg.inv(precision(3)), atol=0.01, rtol=0)


@pytest.mark.parametrize("name", MAKERS)
def test_shape_and_independence_of_rows(name: str) -> None:
    energy = MAKERS[name](2)
    x = energy.sample(7, torch.Generator().manual_seed(0))
    values = energy(x)
    assert values.shape == (7,) and values.dtype == torch.float32
    torch.testing.assert_close(energy(x[2:3]), values[2:3])


def test_gamma_is_infinite_outside_with_a_finite_gradient() -> None:
    values, gradient = energy_and_gradient(gamma(2), T([[-1.0, 2.0], [0.0, 2.0], [1.0, 2.0]]))
    assert values.isfinite().tolist() == [False, False, True] and (values > 0).all()
    assert torch.isfinite(gradient).all()


def test_gamma_has_no_smoothed_version() -> None:
    with pytest.raises(Unsupported, match="closed form"):
        gamma(1)(T([[1.0]]), 0.1)


def test_learnable_gaussian_is_fitted_by_maximum_likelihood() -> None:
    target = gaussian(2)
    x = target.sample(20_000, torch.Generator().manual_seed(0))
    fitted = Gaussian(torch.zeros(2), torch.eye(2), learnable=True)
    assert {name for name, _ in fitted.named_parameters()} == {"mean", "factor"}
    assert not list(target.parameters())
    optimiser = torch.optim.Adam(fitted.parameters(), lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        (fitted(x).mean() + fitted.log_z).backward()
        optimiser.step()
    torch.testing.assert_close(fitted.precision.detach(), precision(2), rtol=0.05, atol=0.05)
    torch.testing.assert_close(fitted.mean.detach(), target.mean, rtol=0, atol=0.03)


def test_smoothed_learnable_gaussian_has_gradients_where_eigenvalues_coincide() -> None:
    energy = Gaussian(torch.zeros(3), torch.eye(3), learnable=True)
    x = torch.ones((2, 3), requires_grad=True)
    (score,) = torch.autograd.grad(energy(x, 0.5).sum(), x, create_graph=True)
    (score**2).sum().backward()
    assert energy.factor.grad is not None and torch.isfinite(energy.factor.grad).all()
    assert float(energy.factor.grad.abs().sum()) > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gaussian(torch.zeros(2), -torch.eye(2)),
        lambda: Gaussian(torch.zeros(2), torch.eye(3)),
        lambda: Gaussian(torch.zeros(2), T([[1.0, 0.5], [0.0, 1.0]])),
        lambda: GaussianMixture(torch.zeros((2, 1)), T([1.0, 0.0]), torch.ones(2)),
        lambda: GaussianMixture(torch.zeros((2, 1)), torch.ones(3), torch.ones(2)),
        lambda: Laplace(torch.zeros(2), T([1.0, -1.0])),
        lambda: Gamma(torch.ones(2), T([1.0, 0.0])),
    ],
)
def test_bad_parameters_are_refused(make) -> None:
    with pytest.raises(BadConfig, match=r"\w+: "):
        make()
