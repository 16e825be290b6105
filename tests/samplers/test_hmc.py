"""Leapfrog and HMC: reversible, volume-preserving, of second order; MALA as its shortest case; divergences; masses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.errors import BadConfig
from ebm.samplers import HMC, MALA, HMCConfig, energy_and_gradient, run
from ebm.samplers.hmc import leapfrog

T = torch.tensor
GAUSSIAN = Gaussian(T([0.5, -1.0]), T([[2.0, 0.6], [0.6, 1.0]]))
MIXTURE = GaussianMixture(T([[-1.0, 0.0], [1.2, 0.5]]), T([0.6, 0.5]), T([0.3, 0.7])).double()
MASS = T([2.0, 0.5], dtype=torch.float64)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def differentiable(x: Tensor) -> tuple[Tensor, Tensor]:
    """E and dE/dx, which can be differentiated once more."""
    values = MIXTURE(x)
    (gradient,) = torch.autograd.grad(values.sum(), x, create_graph=True)
    return values, gradient


def at_rest(n: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, p, E and dE/dx, in float64."""
    x = torch.randn((n, 2), generator=seeded(1), dtype=torch.float64)
    p = MASS.sqrt() * torch.randn((n, 2), generator=seeded(2), dtype=torch.float64)
    return x, p, *energy_and_gradient(MIXTURE, x)


def hamiltonian(values: Tensor, p: Tensor) -> Tensor:
    return values + 0.5 * (p**2 / MASS).sum(1)


def integrate(x: Tensor, p: Tensor, step: float, n: int) -> tuple[Tensor, Tensor, Tensor]:
    gradient = energy_and_gradient(MIXTURE, x)[1]
    return leapfrog(lambda x: energy_and_gradient(MIXTURE, x), x, p, gradient, step, n, MASS)


def test_leapfrog_runs_back_to_the_start() -> None:
    x, p, _, _ = at_rest()
    there, p_there, _ = integrate(x, p, 0.3, 20)
    back, p_back, _ = integrate(there, -p_there, 0.3, 20)
    assert (there - x).norm(dim=1).min() > 0.1
    torch.testing.assert_close(back, x, rtol=0, atol=1e-9)
    torch.testing.assert_close(-p_back, p, rtol=0, atol=1e-9)


def test_leapfrog_preserves_volume() -> None:
    """The Jacobian of (x, p) -> (x', p'), by automatic differentiation, has determinant 1."""
    x, p, _, _ = at_rest(4)

    def flow(state: Tensor) -> Tensor:
        x, p = state[None, :2], state[None, 2:]
        gradient = differentiable(x)[1]
        x, p, _ = leapfrog(differentiable, x, p, gradient, 0.4, 7, MASS)
        return torch.cat([x, p], 1)[0]

    for state in torch.cat([x, p], 1):
        jacobian = torch.autograd.functional.jacobian(flow, state.requires_grad_())
        assert abs(float(torch.linalg.det(jacobian))) == pytest.approx(1, abs=1e-9)
        assert (jacobian - torch.eye(4)).abs().max() > 0.5


def test_the_error_of_the_energy_is_of_second_order() -> None:
    """Over the same time, half the step leaves a quarter of the error."""
    x, p, values, _ = at_rest(200)
    errors = []
    for n in (16, 32, 64):
        _, new_p, new_values = integrate(x, p, 1.6 / n, n)
        errors.append(float((hamiltonian(new_values, new_p) - hamiltonian(values, p)).abs().mean()))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.08)


def test_one_leapfrog_step_is_mala() -> None:
    """Of step_size^2 / 2: the same proposals, accepted alike."""
    x0 = GAUSSIAN.sample(200, seeded(1))
    one = run(HMC(0.9, 1), GAUSSIAN, x0, 30, seeded())
    other = run(MALA(0.9**2 / 2), GAUSSIAN, x0, 30, seeded())
    torch.testing.assert_close(one.x, other.x, rtol=1e-4, atol=1e-4)
    assert one.acceptance_rate == pytest.approx(other.acceptance_rate)
    assert one.acceptance_rate is not None and 0.5 < one.acceptance_rate < 0.95


def test_a_trajectory_that_diverges_is_refused() -> None:
    """Beyond 2 / sqrt(curvature) the error grows without bound: every end is above H + 1000, or is no number."""
    steep = Gaussian(torch.zeros(2), 100 * torch.eye(2))
    x0 = steep.sample(100, seeded(1))
    for n_leapfrog in (5, 400):
        result = run(HMC(0.5, n_leapfrog), steep, x0, 3, seeded())
        assert result.acceptance_rate == 0 and torch.equal(result.x, x0)


def test_jitter_frees_a_trajectory_from_a_period() -> None:
    """On a unit Gaussian a trajectory of half a period goes to -x, for ever; of jittered length it forgets."""
    energy = Gaussian(torch.zeros(1), torch.eye(1))
    x0 = torch.full((2000, 1), 2.0)
    caught = run(HMC(math.pi / 32, 32), energy, x0, 10, seeded()).x
    free = run(HMC(math.pi / 32, 32, jitter=0.5), energy, x0, 10, seeded()).x
    assert float(caught.mean()) == pytest.approx(2, abs=0.1)
    assert abs(float(free.mean())) < 0.3
    # Each chain has a step of its own.
    moved = run(HMC(0.3, 1, jitter=0.9), lambda x: 0 * x.sum(1), torch.zeros((4000, 1)), 1, seeded()).x
    assert float(moved.var()) == pytest.approx(0.09 * (1 + 0.81 / 3), rel=0.06)


def test_the_mass_of_a_coordinate_is_its_precision_at_best() -> None:
    """Variances from 1 to 10^4: with M = 1 / variance as good as a unit Gaussian; without, hardly moving."""
    variance = T([1.0, 100.0, 10_000.0])
    energy = Gaussian(torch.zeros(3), torch.diag(1 / variance))
    round_one = Gaussian(torch.zeros(3), torch.eye(3))
    x0 = torch.zeros((1000, 3))
    fitted = run(HMC(0.5, 4, mass=1 / variance), energy, x0, 20, seeded())
    unit = run(HMC(0.5, 4), round_one, x0, 20, seeded())
    torch.testing.assert_close(fitted.x / variance.sqrt(), unit.x, rtol=1e-3, atol=1e-3)
    plain = run(HMC(0.5, 4), energy, x0, 20, seeded()).x
    assert float(plain[:, 2].var()) < 0.1 * 10_000 < 0.2 * float(fitted.x[:, 2].var())


def test_bad_arguments_are_named() -> None:
    bad: Any = (
        ((0.0,), "step_size"),
        ((math.nan,), "step_size"),
        ((0.1, 0), "n_leapfrog"),
        ((0.1, 1, 1.0), "jitter"),
        ((0.1, 1, 0.0, [1.0, 0.0]), "mass must be positive"),
        ((0.1, 1, 0.0, [1.0, math.inf]), "mass must be positive"),
    )
    for arguments, message in bad:
        with pytest.raises(BadConfig, match=message):
            HMC(*arguments)
    with pytest.raises(BadConfig, match="mass has 3 entries, a row 2"):
        HMCConfig(step_size=0.1, mass=(1.0, 2.0, 3.0)).build().step(GAUSSIAN, torch.zeros((1, 2)), seeded())
