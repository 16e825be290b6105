"""Every sampler matches the moments of analytic energies; corrected ones at large steps too."""

import math

import pytest
import torch
from torch import Generator, Tensor, nn

from ebm.energies.analytic import Gamma, Gaussian, GaussianMixture, Laplace
from ebm.samplers import (
    HMC,
    MALA,
    AnnealedLangevin,
    Langevin,
    Metropolis,
    Preconditioned,
    ReplicaExchange,
    anneal,
    run,
    run_stages,
)

T = torch.tensor
GAUSSIAN = Gaussian(T([0.5, -1.0]), T([[2.0, 0.6], [0.6, 1.0]]))
MIXTURE = GaussianMixture(T([[-1.0], [1.2]]), T([0.6, 0.5]), T([0.3, 0.7]))
LAPLACE = Laplace(T([0.5]), T([0.7]))
GAMMA = Gamma(T([3.0]), T([2.0]))
FOUR = pytest.mark.parametrize(
    "energy", [GAUSSIAN, MIXTURE, LAPLACE, GAMMA], ids=["gaussian", "mixture", "laplace", "gamma"]
)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def start(energy: nn.Module, n: int, spread: float = 1.0) -> Tensor:
    """Starts that are not draws of the target: half of them far on one side."""
    x = energy.sample(n, seeded(99))  # type: ignore[operator]
    return x.abs() * spread + 0.5


def assert_moments(x: Tensor, energy: nn.Module, tolerance: float) -> None:
    """Mean within `tolerance` sds, covariance within `tolerance` of the variance, against exact draws."""
    exact = energy.sample(200_000, seeded(5))  # type: ignore[operator]
    sd = exact.std(dim=0)
    assert ((x.mean(dim=0) - exact.mean(dim=0)).abs() / sd).max() < tolerance
    scale = sd[:, None] * sd
    difference = torch.atleast_2d(torch.cov(x.T)) - torch.atleast_2d(torch.cov(exact.T))
    assert (difference.abs() / scale).max() < tolerance * 1.5


@pytest.mark.parametrize("energy", [GAUSSIAN, MIXTURE, LAPLACE], ids=["gaussian", "mixture", "laplace"])
def test_langevin_matches_moments_at_small_steps(energy: nn.Module) -> None:
    result = run(Langevin(0.02), energy, start(energy, 8000), 600, seeded())
    assert_moments(result.x, energy, 0.05)
    assert result.acceptance_rate is None


# (sampler, steps): small steps and large ones, which would be far off without their correction.
CORRECTED = {
    "mala-small": (MALA(0.05), 400),
    "mala-large": (MALA(0.6), 400),
    "metropolis-small": (Metropolis(0.8), 300),
    "metropolis-large": (Metropolis(3.0), 200),
    "hmc-small": (HMC(0.3, 6, 0.2), 25),
    "hmc-large": (HMC(1.0, 4, 0.3), 60),
    "hmc-mass": (HMC(0.5, 5, 0.2, mass=[3.0]), 30),
}


@FOUR
@pytest.mark.parametrize(("sampler", "n_steps"), CORRECTED.values(), ids=CORRECTED)
def test_corrected_samplers_match_moments_at_any_step(sampler, n_steps: int, energy: nn.Module) -> None:
    if getattr(sampler, "mass", None) is not None and energy is GAUSSIAN:
        sampler = HMC(0.6, 5, 0.2, mass=[3.0, 0.7])
    result = run(sampler, energy, start(energy, 8000), n_steps, seeded())
    assert_moments(result.x, energy, 0.05)
    assert result.acceptance_rate is not None and 0.05 < result.acceptance_rate < 0.999


@FOUR
def test_a_preconditioned_sampler_matches_moments_after_its_warm_up(energy: nn.Module) -> None:
    stages = Preconditioned(MALA(0.05), n_warmup=80).stages(energy, 60)
    x = run_stages(stages, start(energy, 8000), seeded()).x
    assert_moments(x, energy, 0.05)


@FOUR
def test_the_cold_chains_of_replica_exchange_match_moments(energy: nn.Module) -> None:
    stages = ReplicaExchange(Metropolis(0.8), (1.0, 2.0, 4.0), swap_every=2).stages(energy, 150)
    result = run_stages(stages, start(energy, 8000), seeded())
    assert_moments(result.x, energy, 0.05)
    assert all(0.3 < rate < 0.95 for rate in stages[0].sampler.swap_rates)  # type: ignore[attr-defined]


def test_langevin_is_off_where_mala_is_right() -> None:
    """The large step above is a hard case: without the correction it fails."""
    with pytest.raises(AssertionError):
        x = run(Langevin(0.6), GAUSSIAN, start(GAUSSIAN, 8000), 400, seeded()).x
        assert_moments(x, GAUSSIAN, 0.05)


def test_mala_accepts_nearly_everything_at_tiny_steps_and_little_at_huge_ones() -> None:
    x0 = GAUSSIAN.sample(2000, seeded())
    tiny = run(MALA(1e-3), GAUSSIAN, x0, 20, seeded()).acceptance_rate
    huge = run(MALA(2.0), GAUSSIAN, x0, 20, seeded()).acceptance_rate
    assert tiny is not None and tiny > 0.99
    assert huge is not None and huge < 0.2


@pytest.mark.parametrize("outside", [math.nan, math.inf, -math.inf, 0.5])
@pytest.mark.parametrize(
    "sampler", [MALA(1.0), HMC(0.7, 2), Metropolis(1.0)], ids=["mala", "hmc", "metropolis"]
)
def test_what_is_not_finite_is_refused(sampler, outside: float) -> None:
    if isinstance(sampler, Metropolis) and outside == 0.5:
        outside = math.inf  # it asks for no gradient

    def holed(x: Tensor) -> Tensor:
        y = x[:, 0]
        inside = 0.5 * y**2
        if outside == 0.5:  # a good energy whose gradient is NaN
            inside = inside + 0 * (1 - y**2).sqrt()
        return torch.where(y.abs() < 1, inside, outside)

    x = run(sampler, holed, torch.zeros((500, 1)), 50, seeded()).x
    assert (x.abs() < 1).all() and x.std() > 0.3


@pytest.mark.parametrize("step_size", [0.05, 0.5, 1.2])
@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_langevin_bias_on_a_gaussian(step_size: float, temperature: float) -> None:
    """Unadjusted Langevin on precision l has variance T / (l (1 - step_size l / 2)), exactly."""
    precision = 1.3
    energy = Gaussian(T([0.4]), T([[precision]]))
    sampler = Langevin(step_size, noise_scale=math.sqrt(2 * step_size * temperature))
    assert sampler.temperature == pytest.approx(temperature)
    steps = math.ceil(6 / step_size)
    x = run(sampler, energy, energy.sample(60_000, seeded(1)), steps, seeded()).x
    expected = temperature / (precision * (1 - step_size * precision / 2))
    assert float(x.var()) == pytest.approx(expected, rel=0.025)
    assert float(x.mean()) == pytest.approx(0.4, abs=0.02)


def test_default_temperature_is_one() -> None:
    assert Langevin(0.37).temperature == pytest.approx(1.0)


@pytest.mark.parametrize("denoise_last", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_annealed_langevin_follows_its_variance(temperature: float, denoise_last: bool) -> None:
    """On a Gaussian every step is linear, so that the variance after all of them is known exactly."""
    sampler = AnnealedLangevin((3.0, 1.0, 0.5), 0.2, 5, temperature, denoise_last)
    energy = Gaussian(T([0.0]), T([[4.0]]))
    x0 = 3 * torch.randn((60_000, 1), generator=seeded(1))
    variance = 9.0
    for sigma in sampler.sigmas:
        step, curvature = 0.2 * sigma**2, 1 / (0.25 + sigma**2)
        for _ in range(5):
            variance = (1 - step * curvature) ** 2 * variance + 2 * step * temperature
    if denoise_last:
        variance *= (1 - 0.25 / (0.25 + 0.25)) ** 2
    result = anneal(sampler, energy, x0, seeded())
    assert float(result.x.var()) == pytest.approx(variance, rel=0.03)
    assert result.n_steps == sampler.n_steps == 15 + denoise_last


def test_annealed_langevin_finds_both_modes_in_proportion() -> None:
    """Modes 16 sds apart, which plain Langevin cannot cross."""
    energy = GaussianMixture(T([[-4.0, 0.0], [4.0, 0.0]]), T([0.5, 0.5]), T([0.25, 0.75]))
    x0 = torch.full((4000, 2), -4.0)
    plain = run(Langevin(0.02), energy, x0, 300, seeded()).x
    assert (plain[:, 0] > 0).float().mean() < 0.01
    sigmas = [8 * (0.05 / 8) ** (i / 11) for i in range(12)]
    annealed = anneal(AnnealedLangevin(sigmas, 0.2, 30), energy, x0, seeded()).x
    right = annealed[:, 0] > 0
    assert float(right.float().mean()) == pytest.approx(0.75, abs=0.04)
    assert float(annealed[right, 0].mean()) == pytest.approx(4.0, abs=0.06)
    assert float(annealed[:, 1].std()) == pytest.approx(0.5, rel=0.1)
