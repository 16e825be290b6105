"""Preconditioning: what is learnt of a narrow Gaussian, what it gains, and that it is fixed before draws count."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Generator

from ebm.energies.analytic import Gaussian
from ebm.errors import BadConfig
from ebm.evaluation.diagnostics import effective_sample_size
from ebm.samplers import (
    HMC,
    MALA,
    Langevin,
    Metropolis,
    Preconditioned,
    SamplerConfig,
    Stage,
    adapt,
    run,
    run_stages,
)

T = torch.tensor


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def narrow(d: int = 5, condition: float = 400.0) -> Gaussian:
    """Precisions from 1 to `condition` along random directions."""
    directions = torch.linalg.qr(torch.randn((d, d), generator=seeded(1)))[0]
    precision = (directions * torch.logspace(0, torch.log10(T(condition)), d)) @ directions.T
    return Gaussian(torch.zeros(d), (precision + precision.T) / 2)


NARROW = narrow()


@pytest.mark.parametrize(
    "kernel", [MALA(1e-4), Metropolis(0.01), HMC(0.01, 3, 0.5)], ids=["mala", "mh", "hmc"]
)
def test_the_covariance_and_the_rate_are_learnt_from_a_bad_start(kernel: Any) -> None:
    n_warmup = 700 if isinstance(kernel, Metropolis) else 300
    stages = Preconditioned(kernel, n_warmup=n_warmup).stages(NARROW, 60)
    x0 = torch.ones((60, 5))
    result = run_stages(stages[1:], run_stages(stages[:1], x0, seeded()).x, seeded(1))
    found = stages[0].sampler.factor  # type: ignore[attr-defined]
    ratio = torch.linalg.eigvals(found @ found.T @ NARROW.precision).real
    assert 0.7 < float(ratio.min()) <= float(ratio.max()) < 1.4
    assert result.acceptance_rate == pytest.approx(kernel.target_acceptance, abs=0.08)
    assert float((result.x @ NARROW.precision * result.x).sum(1).mean()) == pytest.approx(5, abs=1.3)


def test_it_mixes_tens_of_times_faster_where_directions_differ_in_width() -> None:
    x0 = NARROW.sample(8, seeded(2))
    tuned = adapt(MALA(0.001), NARROW, x0, seeded(), n_steps=120).sampler
    plain = run(tuned, NARROW, x0, 600, seeded(), keep_every=1).kept
    stages = Preconditioned(MALA(0.001), n_warmup=200).stages(NARROW, 600)
    kept = run_stages(stages, x0, seeded(), keep_every=1).kept
    assert plain is not None and kept is not None
    worst = [min(effective_sample_size(k[:, :, j].T) for j in range(5)) for k in (plain, kept[200:])]
    assert worst[1] > 15 * worst[0]


def test_a_diagonal_covariance_learns_the_scale_of_each_coordinate() -> None:
    energy = Gaussian(torch.zeros(3), torch.diag(T([1.0, 100.0, 1e4])))
    stages = Preconditioned(MALA(0.001), "diagonal", 300).stages(energy, 0)
    run_stages(stages, torch.ones((40, 3)), seeded())
    factor = stages[0].sampler.factor  # type: ignore[attr-defined]
    assert torch.equal(factor, torch.diag(factor.diagonal()))
    # Shrunk a little towards 1e-3, as small samples need.
    torch.testing.assert_close(factor.diagonal(), T([1.0, 0.1, 0.01]), rtol=0.12, atol=0)


def test_nothing_is_learnt_while_draws_count() -> None:
    stages = Preconditioned(MALA(0.1), n_warmup=40).stages(NARROW, 10)
    x = run_stages(stages[:1], torch.ones((8, 5)), seeded()).x
    warm: Any = stages[0].sampler
    before = warm.factor.clone(), warm.tuned.step_size
    run_stages(stages[1:], x, seeded())
    assert torch.equal(warm.factor, before[0]) and warm.tuned.step_size == before[1]


def test_a_step_in_other_coordinates_leaves_the_law_as_it_is() -> None:
    """And chains that are refused stay exactly where they are."""
    stages = Preconditioned(MALA(0.1), n_warmup=40).stages(NARROW, 10)
    run_stages(stages[:1], torch.ones((50, 5)), seeded())
    x0 = NARROW.sample(20_000, seeded(3))
    x = run_stages(stages[1:], x0, seeded()).x
    torch.testing.assert_close(torch.cov(x.T), torch.linalg.inv(NARROW.precision), rtol=0.05, atol=0.01)
    moved, info = stages[1].sampler.step(NARROW, x, seeded(1))
    assert info.accepted is not None and 0.2 < float(info.accepted.float().mean()) < 0.95
    assert torch.equal((moved == x).all(1), ~info.accepted)


def test_chains_that_stand_still_or_run_away_teach_nothing() -> None:
    def outside(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x[:, 0] == 0, 0.0, float("inf")) + 0 * x.sum(1)

    stages = Preconditioned(Metropolis(1.0), n_warmup=20).stages(outside, 3)
    assert torch.equal(run_stages(stages, torch.zeros((4, 2)), seeded()).x, torch.zeros((4, 2)))


def test_configurations() -> None:
    values = {"kind": "preconditioned", "sampler": {"kind": "mala", "step_size": 0.1}}
    config: Any = TypeAdapter(SamplerConfig).validate_python(values)
    stages = config.build().stages(NARROW, 7)
    assert [stage.n_steps for stage in stages] == [500, 7] and isinstance(stages[0], Stage)
    for change in (
        {"n_warmup": 3},
        {"covariance": "half"},
        {"sampler": {"kind": "langevin", "step_size": 0.1}},
    ):
        with pytest.raises(ValidationError):
            TypeAdapter(SamplerConfig).validate_python(values | change)
    bad: Any = [(Langevin(0.1), "Metropolis correction"), (HMC(0.1, mass=[1.0]), "no mass of its own")]
    for kernel, message in bad:
        with pytest.raises(BadConfig, match=message):
            Preconditioned(kernel)
