"""What every sampler must obey; a new one adds a row to MAKERS and to the moments it can match."""

import math

import pytest
import torch
from torch import Generator, Tensor, nn

from ebm.energies.analytic import Gamma, Gaussian, GaussianMixture, Laplace
from ebm.errors import Cancelled, Diverged
from ebm.samplers import (
    MALA,
    Ancestral,
    AnnealedLangevin,
    Langevin,
    Stage,
    anneal,
    energy_and_gradient,
    iterate,
    run,
    run_stages,
)

T = torch.tensor
GAUSSIAN = Gaussian(T([0.5, -1.0]), T([[2.0, 0.6], [0.6, 1.0]]))
MIXTURE = GaussianMixture(T([[-1.0], [1.2]]), T([0.6, 0.5]), T([0.3, 0.7]))
LAPLACE = Laplace(T([0.5]), T([0.7]))
GAMMA = Gamma(T([3.0]), T([2.0]))

# Every sampler as stages on an energy, for the rules that do not depend on which one it is.
MAKERS = {
    "langevin": lambda energy, n: [Stage(Langevin(0.01), energy, n)],
    "mala": lambda energy, n: [Stage(MALA(0.1), energy, n)],
    "annealed": lambda energy, n: AnnealedLangevin((1.0, 0.1), 0.1, n // 2, denoise_last=False).stages(
        energy
    ),
    "ancestral": lambda energy, n: Ancestral([2.0 * 0.8**i for i in range(n)]).stages(energy),
}
every_sampler = pytest.mark.parametrize("stages_of", MAKERS.values(), ids=MAKERS)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def start(energy: nn.Module, n: int, spread: float = 1.0) -> Tensor:
    """Starts that are not draws of the target: half of them far on one side."""
    x = energy.sample(n, seeded(99))  # type: ignore[operator]
    return x.abs() * spread + 0.5


# ---- moments -------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("step_size", [0.05, 0.6], ids=["small", "large"])
@pytest.mark.parametrize(
    "energy", [GAUSSIAN, MIXTURE, LAPLACE, GAMMA], ids=["gaussian", "mixture", "laplace", "gamma"]
)
def test_mala_matches_moments_at_any_step(energy: nn.Module, step_size: float) -> None:
    result = run(MALA(step_size), energy, start(energy, 8000), 400, seeded())
    assert_moments(result.x, energy, 0.05)
    assert result.acceptance_rate is not None and 0.05 < result.acceptance_rate < 0.999


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
def test_mala_refuses_what_is_not_finite(outside: float) -> None:
    def holed(x: Tensor) -> Tensor:
        y = x[:, 0]
        inside = 0.5 * y**2
        if outside == 0.5:  # a good energy whose gradient is NaN
            inside = inside + 0 * (1 - y**2).sqrt()
        return torch.where(y.abs() < 1, inside, outside)

    x = run(MALA(1.0), holed, torch.zeros((500, 1)), 50, seeded()).x
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


# ---- rules ---------------------------------------------------------------------------------------------


@every_sampler
def test_same_seed_same_result(stages_of) -> None:
    x0 = torch.zeros((16, 1))
    first = run_stages(stages_of(MIXTURE, 20), x0, seeded(3)).x
    torch.rand(5)  # the global generator must not matter
    second = run_stages(stages_of(MIXTURE, 20), x0, seeded(3)).x
    other = run_stages(stages_of(MIXTURE, 20), x0, seeded(4)).x
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(x0, torch.zeros((16, 1)))


@every_sampler
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_parameters_are_left_alone(stages_of, mode) -> None:
    energy = Gaussian(torch.zeros(2), torch.eye(2), learnable=True)
    energy.mean.requires_grad_(False)
    energy.factor.grad = torch.full((2, 2), 7.0)
    with mode():
        result = run_stages(stages_of(energy, 4), torch.ones((3, 2)), seeded())
    assert not result.x.requires_grad and not result.energy_trace.requires_grad
    assert not torch.equal(result.x, torch.ones((3, 2)))
    assert energy.mean.grad is None and torch.equal(energy.factor.grad, torch.full((2, 2), 7.0))
    assert not energy.mean.requires_grad and energy.factor.requires_grad


@every_sampler
@pytest.mark.parametrize("shape", [(3,), (1, 4, 4)])
def test_info_and_shapes(stages_of, shape: tuple[int, ...]) -> None:
    def energy(x: Tensor, sigma: object = None) -> Tensor:
        del sigma
        return 0.5 * (x**2).flatten(1).sum(dim=1)

    x0 = torch.randn((5, *shape), generator=seeded(1))
    step = next(iterate(stages_of(energy, 4), x0, seeded()))
    assert step.i == 1 and step.n_total == 4 and step.x.shape == x0.shape
    torch.testing.assert_close(step.info.energy, energy(x0))
    torch.testing.assert_close(step.info.gradient_norm, x0.flatten(1).norm(dim=1))
    if step.info.accepted is not None:
        assert step.info.accepted.shape == (5,) and step.info.accepted.dtype == torch.bool


@every_sampler
def test_keep_every(stages_of) -> None:
    seen: list[tuple[int, int, Tensor]] = []
    result = run_stages(
        stages_of(MIXTURE, 10),
        torch.zeros((6, 1)),
        seeded(),
        keep_every=3,
        on_step=lambda i, n_total, x, info: seen.append((i, n_total, x)),
    )
    assert [(i, n) for i, n, _ in seen] == [(i, 10) for i in range(1, 11)]
    assert result.kept is not None and result.kept.shape == (3, 6, 1)
    for kept, at in zip(result.kept, (3, 6, 9), strict=True):
        assert torch.equal(kept, seen[at - 1][2])
    assert torch.equal(result.x, seen[-1][2])
    assert result.energy_trace.shape == (10,) and result.n_steps == 10


@every_sampler
def test_iterate_is_run_a_step_at_a_time(stages_of) -> None:
    x0 = torch.zeros((6, 1))
    *_, last = iterate(stages_of(MIXTURE, 10), x0, seeded())
    assert torch.equal(last.x, run_stages(stages_of(MIXTURE, 10), x0, seeded()).x)


@every_sampler
def test_cancellation(stages_of) -> None:
    done: list[int] = []
    with pytest.raises(Cancelled, match="after 4 of 10 steps"):
        run_stages(
            stages_of(MIXTURE, 10),
            torch.zeros((2, 1)),
            seeded(),
            on_step=lambda i, *_: done.append(i),
            should_stop=lambda: len(done) == 4,
        )
    assert done == [1, 2, 3, 4]


@pytest.mark.parametrize("keep_every", [0, 5])
def test_a_run_of_no_steps(keep_every: int) -> None:
    x0 = torch.ones((2, 1))
    result = run(Langevin(0.1), MIXTURE, x0, 0, seeded(), keep_every=keep_every)
    assert torch.equal(result.x, x0) and result.energy_trace.shape == (0,)
    assert result.kept is None if keep_every == 0 else result.kept is not None and len(result.kept) == 0


def test_box_is_respected() -> None:
    def outward(x: Tensor, sigma: object = None) -> Tensor:
        del sigma
        return -10 * x.sum(dim=1)

    x0 = torch.zeros((50, 2))
    for x in (
        run(Langevin(0.5, box=(-1.0, 0.5)), outward, x0, 5, seeded()).x,
        anneal(AnnealedLangevin((1.0, 0.5), 0.5, 5, box=(-1.0, 0.5)), outward, x0, seeded()).x,
    ):
        assert float(x.max()) == 0.5 and float(x.min()) >= -1


def test_clip_bounds_every_entry_of_the_gradient() -> None:
    def steep(x: Tensor) -> Tensor:
        return (T([100.0, -0.01]) * x).sum(dim=1)

    sampler = Langevin(1.0, noise_scale=0.0, clip=0.03)
    x, info = sampler.step(steep, torch.zeros((1, 2)), seeded())
    torch.testing.assert_close(x, T([[-0.03, 0.01]]))
    torch.testing.assert_close(info.gradient_norm, T([math.hypot(0.03, 0.01)]))


def test_divergence_is_not_hidden() -> None:
    with pytest.raises(Diverged, match="chain 0 of 2 is not finite after 300 steps"):
        run(Langevin(5.0), GAUSSIAN, torch.ones((2, 2)), 300, seeded())


def test_an_energy_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(4,\), got \(4, 1\)"):
        energy_and_gradient(lambda x: x[:, :1], torch.zeros((4, 2)))
