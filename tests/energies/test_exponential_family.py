"""Exponential families: log Z, maximum likelihood and draws beside scipy, and what lies outside the support."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats as st
import torch

from ebm.energies import ExponentialFamilyConfig
from ebm.errors import BadConfig, BadInput
from ebm.objectives import DenoisingScoreMatching

NAMES = [
    "gaussian",
    "diagonal_gaussian",
    "laplace",
    "gamma",
    "exponential",
    "beta",
    "von_mises",
    "bernoulli",
    "poisson",
]
every_family = pytest.mark.parametrize("family", NAMES)
# One column's true distribution, in scipy's words; and scipy's own maximum likelihood fit to a column, frozen.
TRUE: dict[str, Any] = {
    "gaussian": st.norm(3, 2),
    "diagonal_gaussian": st.norm(-1, 0.5),
    "laplace": st.laplace(2, 0.7),
    "gamma": st.gamma(2.5, scale=3),
    "exponential": st.expon(scale=4),
    "beta": st.beta(2, 0.7),
    "von_mises": st.vonmises(1.8, 0.4),
    "bernoulli": st.bernoulli(0.3),
    "poisson": st.poisson(4.2),
}
SCIPY_FIT: dict[str, Any] = {
    "gaussian": lambda x: st.norm(*st.norm.fit(x)),
    "diagonal_gaussian": lambda x: st.norm(*st.norm.fit(x)),
    "laplace": lambda x: st.laplace(*st.laplace.fit(x)),
    "gamma": lambda x: st.gamma(*st.gamma.fit(x, floc=0)),
    "exponential": lambda x: st.expon(*st.expon.fit(x, floc=0)),
    "beta": lambda x: st.beta(*st.beta.fit(x, floc=0, fscale=1)),
    "von_mises": lambda x: st.vonmises(*st.vonmises.fit(x, fscale=1)),
    "bernoulli": lambda x: st.bernoulli(x.mean()),
    "poisson": lambda x: st.poisson(x.mean()),
}
DISCRETE = ("bernoulli", "poisson")


def columns(family: str, n: int = 400, d: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = TRUE[family].rvs((n, d), random_state=rng).astype(np.float32)
    return np.clip(x, 1e-6, 1 - 1e-6) if family == "beta" else x


def fitted(family: str, d: int = 2) -> tuple[Any, np.ndarray]:
    energy: Any = ExponentialFamilyConfig(family=family).build((d,))  # type: ignore[arg-type]
    x = columns(family, d=d)
    energy.fit(torch.from_numpy(x))
    return energy.requires_grad_(False).double(), x


def log_density(frozen: Any, x: np.ndarray, family: str) -> np.ndarray:
    return frozen.logpmf(x) if family in DISCRETE else frozen.logpdf(x)


@every_family
def test_density_is_scipys_maximum_likelihood_fit(family: str) -> None:
    energy, x = fitted(family)
    found = -energy(torch.from_numpy(x).double()) - energy.log_z
    parts = [log_density(SCIPY_FIT[family](column.astype(float)), column, family) for column in x.T]
    if family == "gaussian":  # the columns' correlation is fitted too
        full = st.multivariate_normal(x.mean(0), np.cov(x.T.astype(float), bias=True))
        parts = [full.logpdf(x)]
    np.testing.assert_allclose(found.numpy(), sum(parts), rtol=2e-4, atol=2e-4)


@every_family
def test_log_z_is_the_sum_or_integral_of_exp_minus_e(family: str) -> None:
    energy, x = fitted(family, d=1)
    low, high = {"beta": (0, 1), "von_mises": (-math.pi, math.pi)}.get(family, (x.min() - 60, x.max() + 60))
    if family in ("gamma", "exponential"):
        low = 0

    def weight(v: Any) -> float:
        return float((-energy(torch.tensor([[float(v)]], dtype=torch.float64))).exp())

    if family in DISCRETE:
        total = sum(weight(v) for v in range(60))
    else:
        middle = float(np.median(x))
        total = scipy.integrate.quad(weight, low, middle)[0] + scipy.integrate.quad(weight, middle, high)[0]
    assert math.log(total) == pytest.approx(float(energy.log_z), abs=2e-4)


@every_family
def test_energy_is_minus_eta_times_t_minus_log_h_and_the_moments_match(family: str) -> None:
    energy, x = fitted(family)
    rows, inner = torch.from_numpy(x).double(), energy.family
    parts = zip(inner.natural(), inner.statistics(rows), strict=True)
    by_hand = -sum((eta * t).flatten(1).sum(1) for eta, t in parts) - inner.log_base(rows)
    torch.testing.assert_close(energy(rows), by_hand)
    # The gradient of the mean log likelihood vanishes where E[T] equals the rows' mean of T.
    energy.requires_grad_(True)
    (energy(rows).mean() + energy.log_z).backward()
    for parameter in energy.parameters():
        assert parameter.grad.abs().max() < 1e-4


@every_family
def test_draws_are_of_the_density(family: str) -> None:
    energy, _ = fitted(family, d=1)
    draws = energy.sample(4000, torch.Generator().manual_seed(3))
    assert draws.shape == (4000, 1) and torch.isfinite(energy(draws)).all()
    exact = SCIPY_FIT[family](columns(family, d=1)[:, 0].astype(float))
    if family in DISCRETE:
        assert float(draws.mean()) == pytest.approx(exact.mean(), rel=0.05)
    else:
        assert st.kstest(draws[:, 0].numpy(), exact.cdf).pvalue > 0.001


@pytest.mark.parametrize(
    ("family", "bad"),
    [("gamma", 0.0), ("gamma", -1.0), ("exponential", -0.1), ("beta", 1.0), ("von_mises", 4.0), ("bernoulli", 0.5),
     ("poisson", 2.5), ("poisson", -1.0)],
)  # fmt: skip
def test_outside_the_support_energy_is_infinite_and_fitting_names_the_cell(family: str, bad: float) -> None:
    energy, x = fitted(family)
    rows = torch.from_numpy(x[:3]).double()
    rows[1, 1] = bad
    rows.requires_grad_(True)
    found = energy(rows)
    assert torch.isinf(found).tolist() == [False, True, False]
    (gradient,) = torch.autograd.grad(found[torch.isfinite(found)].sum(), rows)
    assert torch.isfinite(gradient).all()
    with pytest.raises(BadInput, match=f"row 1, column 1: .*support of family '{family}'"):
        energy.fit(rows.detach())


def test_rows_far_from_zero_keep_their_digits() -> None:
    x = 1e4 + torch.randn((500, 3), generator=torch.Generator().manual_seed(0))
    energy: Any = ExponentialFamilyConfig(family="gaussian").build((3,))
    energy.fit(x)
    exact = st.multivariate_normal(x.double().mean(0), np.cov(x.T.double().numpy(), bias=True))
    found = -(energy(x) + energy.log_z).detach().double().numpy()
    np.testing.assert_allclose(found, exact.logpdf(x.double().numpy()), atol=5e-3)


@pytest.mark.parametrize("d", [1, 8])
def test_an_objective_recovers_the_precision_and_log_z_follows(d: int) -> None:
    root = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(d))).Q
    covariance = root @ torch.diag(torch.linspace(0.7, 1.4, d) ** 2) @ root.T
    normal = torch.distributions.MultivariateNormal(torch.linspace(-0.5, 0.5, d), covariance)
    torch.manual_seed(2)
    x, generator = normal.sample((20_000,)), torch.Generator().manual_seed(1)
    energy: Any = ExponentialFamilyConfig(family="gaussian").build((d,))
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.03)
    objective, sigma, n_steps = DenoisingScoreMatching(0.1), 0.1, 250
    for i in range(n_steps):
        optimizer.param_groups[0]["lr"] = 0.015 * (1 + math.cos(math.pi * i / n_steps))
        batch = x[torch.randint(len(x), (512,), generator=generator)]
        optimizer.zero_grad()
        objective(energy, batch, generator).loss.backward()
        optimizer.step()
    noisy = torch.linalg.inv(covariance + sigma**2 * torch.eye(d))  # at one level the noisy density is fitted
    found = energy.family.precision.detach()
    assert (torch.eye(d) - noisy).norm() > 0.3 * noisy.norm()  # where it began
    assert (found - noisy).norm() < 0.1 * noisy.norm()
    shift = energy.family.shift.detach()
    exact = 0.5 * d * math.log(2 * math.pi) - 0.5 * torch.logdet(found) + 0.5 * shift @ found @ shift
    torch.testing.assert_close(energy.log_z.detach(), exact, rtol=1e-4, atol=1e-4)


def test_a_gaussian_of_very_wide_rows_is_refused() -> None:
    with pytest.raises(BadConfig, match="diagonal_gaussian"):
        ExponentialFamilyConfig().build((1, 64, 64))
