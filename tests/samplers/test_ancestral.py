"""Ancestral sampling on Gaussians: levels by formula, moments against the closed form of each step, seeds."""

from __future__ import annotations

import math

import pytest
import torch
from analytic_denoisers import WienerFilter
from pydantic import TypeAdapter, ValidationError
from torch import Generator, Tensor, nn

from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.errors import BadConfig
from ebm.samplers import Ancestral, AncestralConfig, SamplerConfig, run_stages
from ebm.samplers.ancestral import AncestralStep
from ebm.samplers.posterior import posterior_mean

T = torch.tensor
GAUSSIAN = Gaussian(T([0.5, -1.0]), T([[2.0, 0.6], [0.6, 1.0]]))
ENERGIES = {"denoiser": WienerFilter(GAUSSIAN), "energy": GAUSSIAN}
both = pytest.mark.parametrize("energy", ENERGIES.values(), ids=ENERGIES)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("name", "shape"), [("denoiser", (2,)), ("denoiser", (1, 1, 2)), ("energy", (2,))], ids=str
)
def test_samples_have_the_mean_and_covariance_of_the_data(name: str, shape: tuple[int, ...]) -> None:
    energy = ENERGIES[name]
    sampler = AncestralConfig(sigma_min=0.03, sigma_max=20.0, n_levels=240).build()
    x0 = 20 * torch.randn((8000, *shape), generator=seeded(1))
    result = run_stages(sampler.stages(energy), x0, seeded())
    x = result.x.flatten(1)
    covariance = torch.linalg.inv(GAUSSIAN.precision)
    assert result.n_steps == 240 and result.x.shape == x0.shape
    torch.testing.assert_close(x.mean(0), GAUSSIAN.mean, rtol=0, atol=0.05)
    # The variance falls short by the order of 1 / n_levels, here 3%; the test below has the exact figure.
    torch.testing.assert_close(torch.cov(x.T), covariance, rtol=0.06, atol=0.02)


def test_the_energy_and_its_denoiser_give_the_same_chain() -> None:
    x0 = 5 * torch.randn((50, 2), generator=seeded(1))
    ends = [run_stages(Ancestral((5.0, 1.0, 0.2)).stages(e), x0, seeded()).x for e in ENERGIES.values()]
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-4)


def test_the_variance_follows_every_step() -> None:
    # With few levels the answer is biased, by as much as linear steps say.
    sigmas, variance, v = (3.0, 1.0, 0.5), 9.0, 0.25
    for sigma, below in zip(sigmas, (*sigmas[1:], 0.0), strict=True):
        up = below**2 * (sigma**2 - below**2) / sigma**2
        gain = v / (v + sigma**2)
        keep = gain + math.sqrt(below**2 - up) / sigma * (1 - gain)
        variance = keep**2 * variance + up
    energy = Gaussian(T([0.0]), T([[1 / v]]))
    x = run_stages(
        Ancestral(sigmas).stages(energy), 3 * torch.randn((60_000, 1), generator=seeded(1)), seeded()
    ).x
    assert float(x.var()) == pytest.approx(variance, rel=0.03)
    assert abs(variance - v) > 0.05  # the test is not of the exact answer


def test_a_step_of_exact_noise_ends_at_exact_noise() -> None:
    # With data at one point the reverse diffusion is exact at any step: x ~ N(m, below^2).
    point = Gaussian(T([0.7]), T([[1e8]]))
    x0 = 0.7 + 2.0 * torch.randn((100_000, 1), generator=seeded(1))
    x, _ = AncestralStep(2.0, 1.5, point).step(point, x0, seeded())
    assert float(x.mean()) == pytest.approx(0.7, abs=0.02)
    assert float(x.std()) == pytest.approx(1.5, rel=0.01)


def test_both_modes_are_found_in_proportion() -> None:
    energy = GaussianMixture(T([[-4.0, 0.0], [4.0, 0.0]]), T([0.5, 0.5]), T([0.25, 0.75]))
    x0 = 40 * torch.randn((4000, 2), generator=seeded(1))
    sampler = AncestralConfig(sigma_min=0.05, sigma_max=40.0, n_levels=80).build()
    x = run_stages(sampler.stages(energy), x0, seeded()).x
    right = x[:, 0] > 0
    assert float(right.float().mean()) == pytest.approx(0.75, abs=0.04)
    assert float(x[right, 0].mean()) == pytest.approx(4.0, abs=0.06)


@both
def test_denoising_is_the_posterior_mean_at_each_level(energy: nn.Module) -> None:
    x = torch.randn((6, 2), generator=seeded(1))
    c = torch.linalg.inv(GAUSSIAN.precision)
    levels = T([0.1, 0.2, 0.5, 1.0, 2.0, 5.0])
    for sigma in (levels, 0.5):
        found = posterior_mean(energy, x, sigma)
        for i in range(6):
            s = float(levels[i]) if isinstance(sigma, Tensor) else 0.5
            gain = c @ torch.linalg.inv(c + s**2 * torch.eye(2))
            torch.testing.assert_close(found[i], GAUSSIAN.mean + gain @ (x[i] - GAUSSIAN.mean))
        assert not found.requires_grad


@both
def test_what_a_step_reports(energy: nn.Module) -> None:
    x = torch.randn((6, 2), generator=seeded(1))
    _, info = AncestralStep(0.5, 0.2, energy).step(lambda x: energy(x, 0.5), x, seeded())
    clean = posterior_mean(energy, x, 0.5)
    torch.testing.assert_close(info.energy, energy(x, 0.5))
    torch.testing.assert_close(info.gradient_norm, (x - clean).norm(dim=1) / 0.25)


def test_a_run_is_its_seeds() -> None:
    x0, sampler = torch.zeros((4, 2)), AncestralConfig(n_levels=5).build()
    first, again, other = (run_stages(sampler.stages(GAUSSIAN), x0, seeded(s)).x for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


# ---- levels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [1.0, 7.0])
def test_levels_follow_the_formula(rho: float) -> None:
    sampler = AncestralConfig(sigma_min=0.1, sigma_max=8.0, n_levels=5, rho=rho).build()
    a, b = 8.0 ** (1 / rho), 0.1 ** (1 / rho)
    assert sampler.sigmas == pytest.approx([(a + i / 4 * (b - a)) ** rho for i in range(5)])
    assert sampler.sigmas[0] == pytest.approx(8.0) and sampler.sigmas[-1] == pytest.approx(0.1)
    if rho == 1:
        assert sampler.sigmas == pytest.approx((8.0, 6.025, 4.05, 2.075, 0.1))


@pytest.mark.parametrize(
    "values",
    [
        {"sigma_min": 1.0, "sigma_max": 1.0},
        {"sigma_min": 2.0, "sigma_max": 1.0},
        {"sigma_min": 0.0},
        {"n_levels": 1},
        {"rho": 0},
        {"step_size": 0.1},
    ],
)
def test_bad_configs_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(SamplerConfig).validate_python({"kind": "ancestral", **values})


def test_levels_in_the_wrong_order_are_named() -> None:
    with pytest.raises(ValidationError, match=r"sigma_min 2\.0 must be below sigma_max 1\.0"):
        AncestralConfig(sigma_min=2.0, sigma_max=1.0)
    for levels in ((), (0.1, 1.0), (1.0, 1.0), (1.0, 0.0), (math.inf, 1.0), (1.0, math.nan)):
        with pytest.raises(BadConfig, match="sigmas must be positive, finite and descending"):
            Ancestral(levels)
