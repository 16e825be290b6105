"""Noise of known density, log Z by a line search, and what is learnt of a mixture with them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Generator, Tensor, nn

from ebm.energies import MLPConfig, log_z
from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.errors import BadConfig, BadInput
from ebm.objectives import FlowContrastiveConfig, NCEConfig
from ebm.objectives.flow import Flow, FlowConfig
from ebm.objectives.nce import solve_log_z
from ebm.objectives.noise import NoiseConfig, fitted
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric

T = torch.tensor
MIXTURE = GaussianMixture(T([[-1.5, 0.0], [1.5, 0.5], [0.0, 1.8]]), T([0.5, 0.6, 0.4]), T([0.5, 0.3, 0.2]))
GAUSSIAN = Gaussian(T([0.3, -0.5]), torch.linalg.inv(T([[1.0, 0.8], [0.8, 1.2]])))
NOISES = [
    {"kind": "gaussian", "spread": 1.5},
    {"kind": "mixture", "components": 3},
    {"kind": "uniform", "margin": 0.2},
]
SQUARE = torch.cartesian_prod(torch.linspace(-8, 8, 401), torch.linspace(-8, 8, 401))
CELL = math.log((16 / 400) ** 2)


def rows(n: int = 4000) -> Tensor:
    return MIXTURE.sample(n, Generator().manual_seed(1))


def noise(given: dict[str, Any]) -> Any:
    return fitted(TypeAdapter(NoiseConfig).validate_python(given), rows(), Generator().manual_seed(2))


@pytest.mark.parametrize("given", NOISES, ids=lambda given: given["kind"])
def test_noise_is_drawn_from_the_density_that_it_states(given: dict[str, Any]) -> None:
    q = noise(given)
    density = q.log_prob(SQUARE).double()
    assert float(torch.logsumexp(density, 0)) + CELL == pytest.approx(0, abs=0.02)
    y = q.sample(20_000, Generator().manual_seed(3))
    weights = (density + CELL).exp()
    mean = (weights[:, None] * SQUARE).sum(0)
    second = (weights[:, None] * SQUARE.square()).sum(0)
    torch.testing.assert_close(y.mean(0).double(), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(y.square().mean(0).double(), second, atol=0.2, rtol=0)
    assert torch.isfinite(q.log_prob(rows())).all() and q.log_prob(rows()).min() > -50


def test_gaussian_noise_has_the_full_covariance_times_its_spread() -> None:
    y = noise(NOISES[0]).sample(50_000, Generator().manual_seed(4))
    torch.testing.assert_close(torch.cov(y.T), 1.5**2 * torch.cov(rows().T), atol=0.1, rtol=0)


def test_noise_wants_two_rows() -> None:
    with pytest.raises(BadInput, match="at least 2 training rows, got 1"):
        fitted(TypeAdapter(NoiseConfig).validate_python(NOISES[0]), rows(1), Generator().manual_seed(2))


def test_log_z_of_a_known_energy_is_solved_from_data_and_noise() -> None:
    q = noise(NOISES[0])
    x, y = rows(20_000), q.sample(80_000, Generator().manual_seed(3))
    ratios = [-MIXTURE(part) - 3.0 - q.log_prob(part) for part in (x, y)]  # E + 3: log Z = -3
    assert solve_log_z(*ratios) == pytest.approx(-3, abs=0.03)


@pytest.mark.parametrize("kind", ["affine", "spline"])
@pytest.mark.parametrize("d", [1, 2])
def test_a_flow_states_the_density_of_its_draws(kind: Any, d: int) -> None:
    x = rows()[:, :d]
    flow = Flow(FlowConfig(transforms=2, hidden=(8,), univariate=kind), x, seed=0)
    y, log_q = flow.sample(2000, Generator().manual_seed(5))
    torch.testing.assert_close(flow.log_prob(y), log_q, atol=1e-3, rtol=0)
    again, _ = flow.sample(2000, Generator().manual_seed(5))
    assert torch.equal(y, again)
    grid = torch.linspace(-12, 12, 2401)[:, None] if d == 1 else 2 * SQUARE
    cell = math.log(0.01) if d == 1 else CELL + 2 * math.log(2)
    assert float(torch.logsumexp(flow.log_prob(grid).detach().double(), 0)) + cell == pytest.approx(
        0, abs=0.02
    )


def test_each_player_is_moved_by_its_own_part_of_the_loss() -> None:
    energy = MLPConfig(width=8, depth=1).build((2,))
    energy.fit(rows())  # type: ignore[operator]
    objective = FlowContrastiveConfig(flow=FlowConfig(transforms=2, hidden=(8,)), warmup=0).build()
    objective.prepare(energy, rows(), Generator().manual_seed(0))
    partner = objective.partner
    assert partner is not None
    x = rows(64)
    objective(energy, x, Generator().manual_seed(7)).loss.backward()
    # By hand: V with everything moving; the energy descends it, the flow ascends it.
    y, log_q = partner.flow.sample(64, Generator().manual_seed(7))
    h = [-energy(p) - partner.log_z - q for p, q in ((x, partner.flow.log_prob(x)), (y, log_q))]
    value = nn.functional.softplus(-h[0]).mean() + nn.functional.softplus(h[1]).mean()
    for sign, moved in ((1, [*energy.parameters(), partner.log_z]), (-1, list(partner.flow.parameters()))):
        wanted = torch.autograd.grad(value, moved, retain_graph=True)
        for parameter, gradient in zip(moved, wanted, strict=True):
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad, sign * gradient, atol=1e-5, rtol=1e-3)
    assert all(p.requires_grad for p in energy.parameters())


def test_a_flow_is_for_rows_of_few_columns() -> None:
    for shape in ((10, 65), (10, 1, 4, 4)):
        with pytest.raises(BadConfig, match="at most 64 columns"):
            FlowContrastiveConfig().build().prepare(None, torch.zeros(shape), Generator().manual_seed(0))


@lru_cache
def trained(kind: str, name: str, steps: int) -> tuple[nn.Module, list[dict[str, float]]]:
    x = (MIXTURE if name == "mixture" else GAUSSIAN).sample(10_000, Generator().manual_seed(1))
    torch.manual_seed(0)
    energy = MLPConfig(width=32, depth=2).build((2,))
    energy.fit(x)  # type: ignore[operator]
    flow = FlowConfig(transforms=2, hidden=(16,))
    objective = NCEConfig() if kind == "nce" else FlowContrastiveConfig(flow=flow, warmup=50)
    loop = LoopConfig(
        n_steps=steps, batch_size=256, learning_rate=1e-2, warmup_steps=10, ema=0.98, log_every=1
    )
    run = Trainer(energy, objective.build(), x, loop, make_fabric("cpu"), 0)
    logged: list[dict[str, float]] = []
    run.run(on_step=lambda step, n, figures: logged.append(figures))
    return energy, logged


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param("nce", "gaussian", marks=pytest.mark.slow),
        ("nce", "mixture"),
        ("flow_contrastive", "mixture"),
        pytest.param("flow_contrastive", "gaussian", marks=pytest.mark.slow),
    ],
)
def test_log_z_is_learnt_within_a_twentieth_of_a_nat(kind: str, name: str) -> None:
    energy, logged = trained(kind, name, 300)
    with torch.no_grad():
        exact = float(torch.logsumexp(-energy(SQUARE).double(), 0)) + CELL
        start = logged[0]["log_z"]
        assert log_z.known(energy) == pytest.approx(exact, abs=0.05)
        assert logged[-1]["log_z"] == pytest.approx(exact, abs=0.05)
        assert start == pytest.approx(exact, abs=1.0)  # solved for the untrained energy
        # And what it normalises is the density.
        truth = MIXTURE if name == "mixture" else GAUSSIAN
        x = truth.sample(4000, Generator().manual_seed(9))
        divergence = float((energy(x) + exact - truth(x) - truth.log_z).mean())
        assert divergence < 0.08  # of about .4 before
