"""What every sampler must obey, whatever it samples; a new one adds a row to MAKERS, and its moments to
test_sampler_moments.py."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.errors import Cancelled, Diverged
from ebm.samplers import (
    HMC,
    MALA,
    Ancestral,
    AnnealedLangevin,
    Gibbs,
    Langevin,
    Metropolis,
    ReplicaExchange,
    Stage,
    anneal,
    energy_and_gradient,
    iterate,
    run,
    run_stages,
)
from ebm.samplers.preconditioned import WarmUp

T = torch.tensor
GAUSSIAN = Gaussian(T([0.5, -1.0]), T([[2.0, 0.6], [0.6, 1.0]]))
MIXTURE = GaussianMixture(T([[-1.0], [1.2]]), T([0.6, 0.5]), T([0.3, 0.7]))


class Sweeping:
    """Any energy with a `gibbs` (which does not sample it: moments of machines are in tests/energies)."""

    def __init__(self, energy: Callable[[Tensor], Tensor]):
        self.energy = energy

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.energy(x)

    def gibbs(self, x: Tensor, generator: Generator) -> Tensor:
        return x + 0.1 * torch.randn(x.shape, generator=generator)


# Every sampler as stages on an energy, for the rules that do not depend on which one it is.
MAKERS = {
    "langevin": lambda energy, n: [Stage(Langevin(0.01), energy, n)],
    "mala": lambda energy, n: [Stage(MALA(0.1), energy, n)],
    "metropolis": lambda energy, n: [Stage(Metropolis(0.5), energy, n)],
    "hmc": lambda energy, n: [Stage(HMC(0.3, 3, 0.2), energy, n)],
    "replica_exchange": lambda energy, n: ReplicaExchange(HMC(0.3, 3), (1, 2, 4), 2).stages(energy, n),
    "gibbs": lambda energy, n: [Stage(Gibbs(), Sweeping(energy), n)],
    "preconditioned": lambda energy, n: [Stage(WarmUp(MALA(0.1), "full", n), energy, n)],
    "annealed": lambda energy, n: AnnealedLangevin((1.0, 0.1), 0.1, n // 2, denoise_last=False).stages(
        energy
    ),
    "ancestral": lambda energy, n: Ancestral([2.0 * 0.8**i for i in range(n)]).stages(energy),
}
every_sampler = pytest.mark.parametrize("stages_of", MAKERS.values(), ids=MAKERS)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


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
    without = isinstance(stages_of(energy, 4)[0].sampler, Metropolis | Gibbs)  # these ask for no gradient
    norm = torch.zeros(5) if without else x0.flatten(1).norm(dim=1)
    torch.testing.assert_close(step.info.gradient_norm, norm)
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
