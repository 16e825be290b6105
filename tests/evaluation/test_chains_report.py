"""One call that runs chains and reports: what counts, what each figure is, and what cannot be known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Generator

from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.errors import BadInput
from ebm.evaluation.chains_report import diagnose
from ebm.evaluation.diagnostics import effective_sample_size, split_r_hat
from ebm.samplers import MALA, Ancestral, AnnealedLangevin, Langevin, ReplicaExchange, Stage, run

T = torch.tensor
GAUSSIAN = Gaussian(T([0.5, -1.0]), T([[2.0, 0.6], [0.6, 1.0]]))
APART = GaussianMixture(T([[-4.0, 0.0], [4.0, 0.0]]), T([0.5, 0.5]), T([0.5, 0.5]))


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def test_the_figures_are_those_of_the_run() -> None:
    x0 = GAUSSIAN.sample(10, seeded(1))
    found = diagnose([Stage(MALA(0.4), GAUSSIAN, 300)], x0, seeded(), n_warmup=100)
    same = run(MALA(0.4), GAUSSIAN, x0, 300, seeded(), keep_every=1)
    assert same.kept is not None
    np.testing.assert_allclose(found.energy_trace, same.energy_trace.numpy(), rtol=1e-5)
    assert (found.n_chains, found.n_steps, found.n_warmup, found.draws) == (10, 300, 100, 2000)
    # Energies are those before each step: of the starts, then of the states kept.
    energies = GAUSSIAN(torch.cat([x0[None], same.kept[:-1]]).flatten(0, 1)).view(300, 10)[100:].T.double()
    assert found.energy_mean == pytest.approx(float(energies.mean()), rel=1e-5)
    assert found.energy_r_hat == pytest.approx(split_r_hat(energies), rel=1e-5)
    assert found.energy_ess == pytest.approx(effective_sample_size(energies), rel=1e-4)
    both = [same.kept[100:, :, j].T.double() for j in (0, 1)]
    assert found.worst_r_hat == pytest.approx(max(map(split_r_hat, both)))
    assert found.worst_ess == pytest.approx(min(map(effective_sample_size, both)))
    assert found.acceptance is not None and 0.5 < found.acceptance.mean < 0.9 and found.acceptance.stuck == 0
    assert found.swap_rates is None and 250 < found.worst_ess < 1000 and found.worst_r_hat < 1.03


def test_chains_in_different_modes_are_seen() -> None:
    """By a coordinate: the energy is the same in both modes. Replica exchange mends it, and reports its exchanges."""
    x0 = T([[-4.0, 0.0], [4.0, 0.0]]).repeat(6, 1)
    stuck = diagnose([Stage(MALA(0.15), APART, 200)], x0, seeded())
    assert stuck.worst_r_hat > 3 and stuck.worst_ess < 40
    assert stuck.energy_r_hat < 1.1
    mixed = diagnose(
        ReplicaExchange(MALA(0.15), (1, 2, 4, 8, 16), 1).stages(APART, 300), x0, seeded(), n_warmup=60
    )
    assert mixed.worst_r_hat < 1.5 and mixed.swap_rates is not None and min(mixed.swap_rates) > 0.3
    assert len(mixed.as_dict()["swap_rates"]) == 4


def test_only_the_last_level_of_an_annealed_run_counts() -> None:
    x0 = torch.randn((5, 2), generator=seeded(1))
    annealed = diagnose(
        AnnealedLangevin((2.0, 0.5), 0.1, 20, denoise_last=False).stages(GAUSSIAN), x0, seeded()
    )
    assert (annealed.n_steps, annealed.n_warmup) == (40, 30) and annealed.acceptance is None
    single = diagnose(Ancestral((2.0, 1.0, 0.5)).stages(GAUSSIAN), x0, seeded())
    assert single.n_warmup == 2 and math.isnan(single.energy_r_hat)
    assert json.loads(json.dumps(single.as_dict(), allow_nan=False))["energy_r_hat"] is None


def test_few_coordinates_of_many_are_followed_or_none() -> None:
    x0 = torch.zeros((3, 1, 8, 8))
    stages = [Stage(Langevin(0.1), lambda x: 0.5 * x.square().flatten(1).sum(1), 20)]
    assert diagnose(stages, x0, seeded(), coordinates=5).worst_ess > 0
    assert math.isnan(diagnose(stages, x0, seeded(), coordinates=0).worst_ess)


@pytest.mark.parametrize("n_warmup", [-1, 20])
def test_a_warm_up_as_long_as_the_run_is_refused(n_warmup: int) -> None:
    with pytest.raises(BadInput, match=r"n_warmup must lie in \[0, 20\)"):
        diagnose([Stage(Langevin(0.1), GAUSSIAN, 20)], torch.zeros((2, 2)), seeded(), n_warmup=n_warmup)
