"""Replica exchange: modes in proportion, what is exchanged and how often, and nothing kept between runs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Generator, Tensor

from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.errors import BadConfig
from ebm.samplers import (
    HMC,
    MALA,
    Langevin,
    Metropolis,
    ReplicaExchange,
    ReplicaExchangeConfig,
    SamplerConfig,
    Stage,
    run_stages,
)

T = torch.tensor
# Modes 16 sds apart, of weights 1/4 and 3/4.
APART = GaussianMixture(T([[-4.0, 0.0], [4.0, 0.0]]), T([0.5, 0.5]), T([0.25, 0.75]))
LEVELS = [20 ** (i / 5) for i in range(6)]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def test_modes_that_mala_cannot_cross_are_found_in_proportion() -> None:
    x0 = T([[-4.0, 0.0]]).repeat(1000, 1)
    plain = run_stages([Stage(MALA(0.15), APART, 200)], x0, seeded()).x
    assert int((plain[:, 0] > 0).sum()) == 0
    stages = ReplicaExchange(Metropolis(0.9), LEVELS, swap_every=2).stages(APART, 350)
    x = run_stages(stages, x0, seeded()).x
    right = x[:, 0] > 0
    assert float(right.float().mean()) == pytest.approx(0.75, abs=0.045)
    for mode, centre in ((x[right], 4.0), (x[~right], -4.0)):
        assert float(mode[:, 0].mean()) == pytest.approx(centre, abs=0.1)
        torch.testing.assert_close(mode.std(0), T([0.5, 0.5]), rtol=0.12, atol=0)


@pytest.mark.parametrize("kernel", [MALA(0.15), HMC(0.4, 3, 0.2), Langevin(0.02)], ids=["mala", "hmc", "ula"])
def test_any_kernel_can_move_the_replicas(kernel: Any) -> None:
    stages = ReplicaExchange(kernel, LEVELS, swap_every=2).stages(APART, 200)
    result = run_stages(stages, T([[-4.0, 0.0]]).repeat(100, 1), seeded())
    assert 0.2 < float((result.x[:, 0] > 0).float().mean()) < 0.9
    assert (result.acceptance_rate is None) == isinstance(kernel, Langevin)


def test_exchange_rates_are_those_of_the_theory() -> None:
    """Of unit Gaussians in d dimensions, E / T is Gamma(d / 2): the mean of min(1, exp((b1 - b2)(E1 - E2)))."""
    d, levels = 4, (1.0, 2.0, 6.0)
    energy = Gaussian(torch.zeros(d), torch.eye(d))
    stages = ReplicaExchange(HMC(0.8, 2, 0.3), levels, swap_every=1).stages(energy, 150)
    run_stages(stages, energy.sample(400, seeded(1)), seeded())
    gamma = torch.distributions.Gamma(T(d / 2), T(1.0))
    torch.manual_seed(0)
    for k, found in enumerate(stages[0].sampler.swap_rates):  # type: ignore[attr-defined]
        low, high = levels[k : k + 2]
        e = [t * gamma.sample(torch.Size([200_000])) for t in (low, high)]
        expected = ((1 / low - 1 / high) * (e[0] - e[1])).exp().clamp(max=1).mean()
        assert found == pytest.approx(float(expected), abs=0.02)


def test_replicas_sample_their_own_temperatures() -> None:
    energy = Gaussian(torch.zeros(2), T([[2.0, 0.5], [0.5, 1.0]]))
    stages = ReplicaExchange(MALA(0.3), (1.0, 2.0, 5.0), swap_every=3).stages(energy, 120)
    cold = run_stages(stages, torch.zeros((3000, 2)), seeded()).x
    hot = stages[0].sampler._hot  # type: ignore[attr-defined]
    for x, temperature in ((cold, 1.0), (hot[:3000], 2.0), (hot[3000:], 5.0)):
        expected = temperature * torch.linalg.inv(energy.precision)
        torch.testing.assert_close(torch.cov(x.T), expected, rtol=0.12, atol=0.05 * temperature)


def test_an_exchange_hands_whole_rows_over() -> None:
    """At a flat energy every exchange is accepted: replicas rotate by even and odd pairs, and none is lost."""
    still = _Still()
    stages = ReplicaExchange(still, (1.0, 4.0, 9.0), swap_every=1).stages(
        lambda x: 0 * x.flatten(1).sum(1), 3
    )
    ladder: Any = stages[0].sampler
    ladder._hot = T([1.0, 2.0])[:, None, None, None].expand(2, 1, 2, 2)
    seen = []
    for x in (0.0, 1.0, 1.0):
        out, _ = ladder.step(stages[0].energy, torch.full((1, 1, 2, 2), x), seeded())
        seen.append([round(v) for v in (float(out.mean()), *ladder._hot.flatten(1).mean(1).tolist())])
    assert seen == [[1, 0, 2], [1, 2, 0], [2, 1, 0]]
    assert ladder.swap_rates == (1.0, 1.0)


class _Still:
    """Moves nothing, accepts everything."""

    def step(self, energy: Any, x: Tensor, generator: Generator) -> Any:
        return MALA(1e-30).step(energy, x, generator)


def test_two_runs_share_nothing() -> None:
    sampler, x0 = ReplicaExchange(MALA(0.2), LEVELS, 2), torch.zeros((5, 2))
    first = run_stages(sampler.stages(APART, 20), x0, seeded()).x
    again = run_stages(sampler.stages(APART, 20), x0, seeded()).x
    assert torch.equal(first, again)
    assert all(math.isnan(r) for r in sampler.ladder().swap_rates)


def test_a_configuration_makes_a_geometric_ladder() -> None:
    values = {"kind": "replica_exchange", "sampler": {"kind": "hmc", "step_size": 0.3}}
    config = TypeAdapter(SamplerConfig).validate_python(values | {"n_temperatures": 3, "max_temperature": 16})
    assert isinstance(config, ReplicaExchangeConfig) and config.step_size == 0.3
    assert config.build().temperatures == pytest.approx((1, 4, 16))
    for change in (
        {"n_temperatures": 1},
        {"max_temperature": 1},
        {"swap_every": 0},
        {"sampler": {"kind": "x"}},
    ):
        with pytest.raises(ValidationError):
            TypeAdapter(SamplerConfig).validate_python(values | change)


@pytest.mark.parametrize(
    ("kernel", "levels", "message"),
    [
        (MALA(0.1), (1.0,), "ascend from 1"),
        (MALA(0.1), (2.0, 3.0), "ascend from 1"),
        (MALA(0.1), (1.0, 3.0, 3.0), "ascend from 1"),
        (MALA(0.1), (1.0, math.inf), "ascend from 1"),
        (Langevin(0.1, noise_scale=0.1), (1.0, 2.0), "temperature 1 and no box"),
        (Langevin(0.1, box=(-1, 1)), (1.0, 2.0), "temperature 1 and no box"),
        (Langevin(0.1, clip=0.1), (1.0, 2.0), "must not clip"),
    ],
)
def test_bad_ladders_are_named(kernel: Any, levels: tuple[float, ...], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        ReplicaExchange(kernel, levels)
