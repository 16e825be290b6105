"""Annealed importance sampling against known partition functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ebm.energies.analytic import Gamma, Gaussian, GaussianMixture
from ebm.energies.boltzmann import BoltzmannMachine
from ebm.energies.rbm import RestrictedBoltzmannMachine
from ebm.errors import BadInput, Diverged
from ebm.evaluation.ais import (
    bennett,
    bracket,
    estimate,
    forward,
    forward_steps,
    reverse_steps,
    sigmoid_schedule,
)
from ebm.evaluation.binary_paths import BinaryPath, GibbsPath
from ebm.evaluation.enumeration import binary_log_z, rbm_log_z
from ebm.evaluation.paths import GaussianBase, GaussianPath, fit_to_model
from ebm.samplers import Langevin
from ebm.samplers.hmc import HMC
from ebm.steps import finish

SHIFT = 3.0  # added to energies whose log Z is 0, so that an answer of 0 is no answer


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def correlated(d: int = 3) -> Gaussian:
    root = torch.linalg.qr(torch.randn(d, d, generator=seeded(d))).Q
    precision = root @ torch.diag(torch.linspace(0.2, 4, d)) @ root.T
    return Gaussian(torch.linspace(-1, 2, d), (precision + precision.T) / 2)


class Shifted(torch.nn.Module):
    """A mixture of two modes of unlike width and weight, log Z = -SHIFT."""

    def __init__(self, d: int = 2):
        super().__init__()
        means = torch.zeros(2, d)
        means[:, 0] = torch.tensor([-2.0, 2.0])
        self.mixture = GaussianMixture(means, torch.tensor([0.5, 0.8]), torch.tensor([0.3, 0.7]))

    def forward(self, x: Tensor) -> Tensor:
        return self.mixture(x) + SHIFT


def path_to(energy: Any, rows: Tensor, **options: Any) -> GaussianPath:
    return GaussianPath(energy, GaussianBase.fit(rows), **options)


def test_a_gaussian_from_a_wide_base() -> None:
    truth = correlated()
    path = GaussianPath(truth, GaussianBase.diagonal(torch.zeros(3), torch.full((3,), 2.0)))
    found = bracket(
        path, 100, path.tune(120, seeded(1)).tolist(), seeded(2), samples=truth.sample(100, seeded(3))
    )
    exact = float(truth.log_z)
    for one in (found.forward, found.reverse, found):
        assert abs(one.log_z - exact) < max(0.05, 3 * one.standard_error) < 0.6
    assert found.forward.ess > 20 and found.forward.n_chains == 100 and found.forward.n_temperatures == 120


@pytest.mark.parametrize("sampler", ["mala", "hmc"])
def test_two_modes_with_known_weights(sampler: str) -> None:
    energy = Shifted()
    rows = energy.mixture.sample(1000, seeded(1))
    path = path_to(energy, rows) if sampler == "mala" else path_to(energy, rows, sampler=HMC(0.3, 3))
    samples = energy.mixture.sample(100, seeded(4))
    found = bracket(path, 100, path.tune(40, seeded(2), n_grid=15).tolist(), seeded(3), samples=samples)
    for one in (found.forward, found.reverse, found):
        assert abs(one.log_z + SHIFT) < 3 * one.standard_error + 0.02 < 0.25


def test_forward_is_low_and_reverse_high_on_average() -> None:
    # Few temperatures, a poor base and eight chains an estimate, so that both are far from sharp.
    truth, n, m = correlated(), 300, 8
    path = GaussianPath(truth, GaussianBase.diagonal(torch.zeros(3), torch.full((3,), 3.0)))
    betas = path.tune(6, seeded(1)).tolist()
    ahead = finish(forward_steps(path, n * m, betas, seeded(2))).log_weights
    back = finish(reverse_steps(path, truth.sample(n * m, seeded(3)), betas, seeded(4))).log_weights
    exact = float(truth.log_z)
    for sign, log_weights in ((1, ahead), (-1, back)):
        found = [estimate(part, path.log_z_base, 6, sign=sign).log_z for part in log_weights.split(m)]
        error = np.std(found) / math.sqrt(n)
        assert sign * (exact - np.mean(found)) > 3 * error
        assert abs(exact - np.mean(found)) < 3


def test_no_path_at_all_is_importance_sampling() -> None:
    truth = correlated(1)
    path = path_to(truth, truth.sample(500, seeded(1)))
    run = forward(path, 500, [0.0, 1.0], seeded(2))
    z = path.start(500, seeded(2))
    weights = path.energy(0.0)(z) - path.energy(1.0)(z)
    assert run.log_z == pytest.approx(path.log_z_base + float(weights.logsumexp(0)) - math.log(500), abs=1e-5)


def test_rows_go_to_the_base_and_back() -> None:
    rows = correlated().sample(400, seeded(1))
    for base in (
        GaussianBase.fit(rows),
        GaussianBase.fit(rows[:10]),
        GaussianBase.diagonal(rows[0], rows[0].abs()),
    ):
        torch.testing.assert_close(base.to_rows(base.to_normal(rows)), rows, rtol=1e-4, atol=1e-4)
    z = GaussianBase.fit(rows).to_normal(rows)
    torch.testing.assert_close(torch.cov(z.T), torch.eye(3), rtol=0.01, atol=0.01)


def test_a_base_fitted_to_the_model_is_as_wide_as_the_model() -> None:
    wide = Gaussian(torch.full((2,), 5.0), torch.eye(2) / 100)  # sd 10
    base = fit_to_model(
        wide, GaussianBase.diagonal(torch.zeros(2), torch.ones(2)), seeded(1), n_rounds=2, n_moves=100
    )
    covariance = base.factor @ base.factor.T
    assert 40 < float(covariance.diagonal().min()) and float(covariance.diagonal().max()) < 250


def test_a_bounded_support_gives_zero_weights_and_no_nan() -> None:
    truth = Gamma(torch.tensor([3.0]), torch.tensor([2.0]))
    path = path_to(truth, truth.sample(500, seeded(1)))
    found = forward(path, 300, path.tune(60, seeded(2)).tolist(), seeded(3))
    assert abs(found.log_z - float(truth.log_z)) < 3 * found.standard_error + 0.02 < 0.25
    nowhere = GaussianPath(lambda x: torch.full((len(x),), math.inf), path.base)
    with pytest.raises(Diverged, match="left the support"):
        forward(nowhere, 10, [0.0, 0.5, 1.0], seeded())


def test_samplers_without_a_correction_and_bad_temperatures_are_refused() -> None:
    truth = correlated()
    biased: Any = Langevin(0.1)
    with pytest.raises(BadInput, match="no Metropolis correction"):
        forward(path_to(truth, truth.sample(50, seeded()), sampler=biased), 10, [0.0, 0.5, 1.0], seeded())
    for betas in ([0.0, 0.5], [0.0, 0.6, 0.5, 1.0], [1.0]):
        with pytest.raises(BadInput, match="from 0 to 1"):
            forward(path_to(truth, truth.sample(50, seeded())), 10, betas, seeded())


# ---- machines ----------------------------------------------------------------------------------------


def machine(d: int, m: int, sd: float, visible: str = "binary") -> RestrictedBoltzmannMachine:
    torch.manual_seed(d + m)
    made = RestrictedBoltzmannMachine((d,), m, visible)
    with torch.no_grad():
        made.weight.normal_(0, sd)
        made.visible_bias.normal_(0, 0.5)
        made.hidden_bias.normal_(0, 0.5)
    return made


@pytest.mark.parametrize(
    ("sd", "visible"), [(0.1, "binary"), (1.0, "binary"), (2.0, "binary"), (0.2, "gaussian")]
)
def test_a_machine_of_15_by_10_within_a_tenth_of_a_nat(sd: float, visible: str) -> None:
    made = machine(15, 10, sd, visible)
    found = bracket(
        GibbsPath(made, torch.zeros(15)), 100, sigmoid_schedule(300).tolist(), seeded(1), n_settle=100
    )
    exact = rbm_log_z(made)
    for one in (found.forward, found.reverse, found):
        assert abs(one.log_z - exact) < 0.1


def test_paths_of_other_binary_energies() -> None:
    torch.manual_seed(0)
    made = BoltzmannMachine((6,), 3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.7)
    exact, betas = binary_log_z(made, (6,)), sigmoid_schedule(60).tolist()
    for path in (GibbsPath(made, torch.full((6,), 0.3)), BinaryPath(made, torch.full((6,), 0.3), (6,))):
        found = bracket(path, 100, betas, seeded(2), n_settle=30)
        assert abs(found.forward.log_z - exact) < 3 * found.forward.standard_error + 0.01 < 0.2
        assert abs(found.log_z - exact) < 0.1


# ---- weights -----------------------------------------------------------------------------------------


def test_an_estimate_from_weights_of_known_mean() -> None:
    log_weights = (
        0.5 * torch.randn(20_000, generator=seeded(), dtype=torch.float64) - 0.125
    )  # log normal, mean 1
    found = estimate(log_weights, 2.0, 10)
    assert found.log_z == pytest.approx(2.0, abs=4 * found.standard_error)
    assert found.ess == pytest.approx(20_000 / math.exp(0.25), rel=0.05)
    many = [estimate(part, 0.0, 1).log_z for part in log_weights.split(100)]
    assert np.std(many) == pytest.approx(estimate(log_weights[:100], 0.0, 1).standard_error, rel=0.3)
    assert estimate(log_weights, 2.0, 10, sign=-1).log_z == pytest.approx(4.0 - found.log_z)


@pytest.mark.parametrize("m", [200, 1000])
def test_bennetts_estimate_of_gaussian_works(m: int) -> None:
    # Forward log weights N(r - s^2/2, s^2) and reverse N(-r - s^2/2, s^2) obey Crooks' relation, with log ratio r.
    r, s = 1.7, 2.0
    f = r - s**2 / 2 + s * torch.randn(1000, generator=seeded(1), dtype=torch.float64)
    b = -r - s**2 / 2 + s * torch.randn(m, generator=seeded(2), dtype=torch.float64)
    found, error = bennett(f, b)
    assert abs(found - r) < 4 * error < 0.9
