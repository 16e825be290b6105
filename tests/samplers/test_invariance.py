"""Chains that start at exact samples stay there: after k steps the law is unchanged (a simulation test).

Starts x_0 are independent exact draws of p. If a step leaves p as it is, so are x_k: each coordinate follows its known
distribution function (Kolmogorov-Smirnov), and the means of x, x^2 and products are within their errors. All p-values
of a sampler are compared with .01 / (how many there are).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from broken_samplers import NoKineticEnergy, NoProposalRatio, WrongSign
from scipy import stats
from torch import Generator, Tensor, nn

from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.energies.rbm import RestrictedBoltzmannMachine
from ebm.samplers import HMC, MALA, Langevin, Metropolis, ReplicaExchange, Stage, replica_exchange, run_stages
from ebm.samplers.gibbs import Gibbs
from ebm.types import Sampler

T = torch.tensor
GAUSSIAN = Gaussian(T([0.5, -1.0]), T([[2.0, 0.9], [0.9, 1.0]]))
# Modes of different width and weight, so that a wrong acceptance shows in the share of each.
MIXTURE = GaussianMixture(T([[-1.2, 0.0], [1.5, 0.5]]), T([0.4, 0.8]), T([0.3, 0.7]))
N = 20_000
LEVEL = 0.01


class PairByGibbs(Gaussian):
    """A Gaussian in the plane whose `gibbs` draws each coordinate given the other: x_i | x_j is
    N(m_i - P_ij (x_j - m_j) / P_ii, 1 / P_ii)."""

    def gibbs(self, x: Tensor, generator: Generator) -> Tensor:
        x, precision = x.clone(), self.precision
        for i, j in ((0, 1), (1, 0)):
            mean = self.mean[i] - precision[i, j] / precision[i, i] * (x[:, j] - self.mean[j])
            x[:, i] = mean + torch.randn(len(x), generator=generator) / precision[i, i].sqrt()
        return x


def distribution_functions(energy: nn.Module) -> list[Callable]:
    """Of each coordinate."""
    if isinstance(energy, GaussianMixture):
        shares, sds = energy.logits.softmax(0).tolist(), energy.log_sds.exp().tolist()
        parts = [list(zip(shares, energy.means[:, j].tolist(), sds, strict=True)) for j in range(2)]
        return [lambda t, p=p: sum(w * stats.norm.cdf(t, m, s) for w, m, s in p) for p in parts]
    assert isinstance(energy, Gaussian)
    sd = torch.linalg.inv(energy.precision).diagonal().sqrt().tolist()
    return [stats.norm(m, s).cdf for m, s in zip(energy.mean.tolist(), sd, strict=True)]


def p_values(x: Tensor, energy: nn.Module) -> list[float]:
    """Two Kolmogorov-Smirnov tests and, for the joint law, z-tests of five moments against many exact draws."""
    found = [
        float(stats.kstest(x[:, j].numpy(), cdf).pvalue)  # type: ignore[attr-defined]
        for j, cdf in enumerate(distribution_functions(energy))
    ]
    exact = energy.sample(400_000, Generator().manual_seed(77))  # type: ignore[operator]
    for f in (
        lambda x: x[:, 0],
        lambda x: x[:, 1],
        lambda x: x[:, 0] ** 2,
        lambda x: x[:, 1] ** 2,
        lambda x: x[:, 0] * x[:, 1],
    ):
        a, b = f(x).double(), f(exact).double()
        z = float((a.mean() - b.mean()) / (a.var() / len(a) + b.var() / len(b)).sqrt())
        found.append(math.erfc(abs(z) / math.sqrt(2)))
    return found


def after(stages: list[Stage], energy: nn.Module) -> Tensor:
    x0 = energy.sample(N, Generator().manual_seed(11))  # type: ignore[operator]
    return run_stages(stages, x0, Generator().manual_seed(12)).x


# Steps so large that a third or more of the proposals is refused.
EXACT: dict[str, tuple[Sampler, int]] = {
    "mala": (MALA(0.5), 12),
    "hmc": (HMC(0.75, 3, 0.3), 6),
    "hmc-mass": (HMC(0.9, 3, 0.3, mass=[2.0, 0.7]), 6),
    "metropolis": (Metropolis(1.5), 20),
}


@pytest.mark.parametrize("energy", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
@pytest.mark.parametrize(("sampler", "n_steps"), EXACT.values(), ids=EXACT)
def test_corrected_samplers_leave_the_law_as_it_is(sampler: Sampler, n_steps: int, energy: nn.Module) -> None:
    x = after([Stage(sampler, energy, n_steps)], energy)
    assert min(p_values(x, energy)) > LEVEL / 7


@pytest.mark.parametrize("energy", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
def test_replica_exchange_leaves_the_law_of_all_replicas_as_it_is(energy: nn.Module) -> None:
    """With hot replicas that start at draws of their own laws, not, as in a run, where the cold ones do."""
    stages = ReplicaExchange(MALA(0.4), (1.0, 1.8, 3.0), swap_every=1).stages(energy, 12)
    hot = [grid_draws(energy, temperature) for temperature in (1.8, 3.0)]
    stages[0].sampler._hot = torch.cat(hot)  # type: ignore[attr-defined]
    assert min(p_values(after(stages, energy), energy)) > LEVEL / 7


def grid_draws(energy: nn.Module, temperature: float) -> Tensor:
    """N draws of exp(-E / T) in the plane by its mass in cells of width .03, uniform within a cell."""
    side = torch.arange(-9.0, 9.0, 0.03) + 0.015
    points, generator = torch.cartesian_prod(side, side), Generator().manual_seed(round(10 * temperature))
    with torch.no_grad():
        mass = (-energy(points) / temperature).double().softmax(0).cumsum(0)
    cells = torch.searchsorted(mass, torch.rand(N, generator=generator, dtype=torch.float64))
    return points[cells] + 0.03 * (torch.rand((N, 2), generator=generator) - 0.5)


def test_gibbs_leaves_the_law_as_it_is() -> None:
    energy = PairByGibbs(GAUSSIAN.mean, GAUSSIAN.precision)
    assert min(p_values(after([Stage(Gibbs(), energy, 10)], energy), energy)) > LEVEL / 7


def test_gibbs_of_a_boltzmann_machine_leaves_its_probabilities_as_they_are() -> None:
    """All 16 states by enumeration, against how often chains are there: a chi-squared test."""
    torch.manual_seed(0)
    energy = RestrictedBoltzmannMachine((4,), 3)
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.normal_(0, 1.2)
    states = torch.cartesian_prod(*[T([0.0, 1.0])] * 4)
    p = (-energy(states)).detach().double().softmax(0)
    start = states[torch.multinomial(p, N, replacement=True, generator=Generator().manual_seed(1))]
    x = run_stages([Stage(Gibbs(), energy, 10)], start, Generator().manual_seed(2)).x
    assert not torch.equal(x, start)
    found = torch.bincount((x @ T([8.0, 4.0, 2.0, 1.0])).long(), minlength=16)
    assert stats.chisquare(found.numpy(), (p * N).numpy()).pvalue > LEVEL


BROKEN = [Langevin(0.5), NoProposalRatio(0.5), NoKineticEnergy(0.75, 3), WrongSign(1.5)]


@pytest.mark.parametrize("sampler", BROKEN, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("energy", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
def test_the_test_finds_what_is_wrong(sampler: Sampler, energy: nn.Module) -> None:
    assert min(p_values(after([Stage(sampler, energy, 12)], energy), energy)) < 1e-6


def test_exchanges_by_the_wrong_sign_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = ReplicaExchange(MALA(0.4), (1.0, 1.8, 3.0), swap_every=1).stages(GAUSSIAN, 12)
    stages[0].sampler._hot = torch.cat([grid_draws(GAUSSIAN, t) for t in (1.8, 3.0)])  # type: ignore[attr-defined]
    monkeypatch.setattr(replica_exchange, "energy_values", lambda energy, x: -energy(x))
    assert min(p_values(after(stages, GAUSSIAN), GAUSSIAN)) < 1e-6
