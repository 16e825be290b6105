"""Getting it right (Geweke 2004): two simulators of the joint law of parameters and data must agree.

The marginal-conditional one draws theta from the prior, then y given theta: independent and exact. The successive-
conditional one alternates: the sampler under test moves theta given y, then y is drawn anew given theta. Whatever theta
it starts from, the second is a chain of the same joint law, if and only if the sampler leaves exp(-E(. | y)), the
posterior, as it is. Averages of test functions are compared, with errors from independent chains.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from broken_samplers import NoKineticEnergy, NoProposalRatio, WrongSign
from torch import Generator, Tensor, nn

from ebm.samplers import HMC, MALA, Metropolis
from ebm.samplers.gibbs import Gibbs

CHAINS, ROUNDS, WARMUP = 300, 160, 40
BOUND = 3.4  # of the largest of eight |z|: a probability of .005 by Bonferroni


def normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


class Scale:
    """theta = (m, s), m ~ N(0, 1), s ~ N(0, .5^2); two y ~ N(m, exp(s)^2): a posterior that is no Gaussian."""

    def prior(self, n: int, generator: Generator) -> Tensor:
        return normal((n, 2), generator) * torch.tensor([1.0, 0.5])

    def data(self, theta: Tensor, generator: Generator) -> Tensor:
        return theta[:, :1] + theta[:, 1:].exp() * normal((len(theta), 2), generator)

    def energy(self, theta: Tensor, y: Tensor) -> Tensor:
        m, s = theta.unbind(1)
        misfit = ((y - m[:, None]) ** 2).sum(1) * (-2 * s).exp()
        return 0.5 * m**2 + 2 * s**2 + 0.5 * misfit + 2 * s


class Sum:
    """theta_1, theta_2 ~ N(0, 1); y ~ N(theta_1 + theta_2, 1): each theta has an exact conditional."""

    def prior(self, n: int, generator: Generator) -> Tensor:
        return normal((n, 2), generator)

    def data(self, theta: Tensor, generator: Generator) -> Tensor:
        return theta.sum(1, keepdim=True) + normal((len(theta), 1), generator)

    def energy(self, theta: Tensor, y: Tensor) -> Tensor:
        return 0.5 * (theta**2).sum(1) + 0.5 * (y[:, 0] - theta.sum(1)) ** 2


class Posterior(nn.Module):
    """E(theta | y), and its Gibbs sweep for `Sum`; `variance`: 1/2, that of a theta given the other and y."""

    def __init__(self, model: Scale | Sum, y: Tensor, variance: float = 0.5):
        super().__init__()
        self.model, self.y, self.variance = model, y, variance

    def forward(self, theta: Tensor) -> Tensor:
        return self.model.energy(theta, self.y)

    def gibbs(self, theta: Tensor, generator: Generator) -> Tensor:
        theta = theta.clone()
        for i in (0, 1):
            mean = 0.5 * (self.y[:, 0] - theta[:, 1 - i])
            theta[:, i] = mean + math.sqrt(self.variance) * normal((len(theta),), generator)
        return theta


def functions(theta: Tensor, y: Tensor) -> Tensor:
    """(B, 8) test functions: moments up to the second of theta and y, and shapes beyond them."""
    a, b, c = theta[:, 0], theta[:, 1], y[:, 0]
    return torch.stack([a, b, a * a, b * b, a * b, a * c, (c / 2).tanh() ** 2, (a > 1).float()], 1).double()


def z_scores(model: Scale | Sum, step: Callable, variance: float = 0.5) -> Tensor:
    """(8,) differences of the two simulators in standard errors; step(posterior, theta, generator) -> theta."""
    generator = Generator().manual_seed(3)
    theta = model.prior(200_000, generator)
    exact = functions(theta, model.data(theta, generator))
    theta, total = torch.ones((CHAINS, 2)), torch.zeros((CHAINS, 8), dtype=torch.float64)
    for i in range(ROUNDS):
        y = model.data(theta, generator)
        theta = step(Posterior(model, y, variance), theta, generator)
        if i >= WARMUP:
            total = total + functions(theta, y)
    means = total / (ROUNDS - WARMUP)  # of each chain, independent of the others
    error = (means.var(0) / CHAINS + exact.var(0) / len(exact)).sqrt()
    return (means.mean(0) - exact.mean(0)) / error


def one_step(sampler) -> Callable:  # type: ignore[no-untyped-def]
    return lambda energy, theta, generator: sampler.step(energy, theta, generator)[0]


EXACT = {"mala": MALA(0.25), "hmc": HMC(0.5, 3, 0.3), "metropolis": Metropolis(0.9)}
BROKEN = [NoProposalRatio(0.25), NoKineticEnergy(0.5, 3), WrongSign(0.3)]


@pytest.mark.parametrize("sampler", EXACT.values(), ids=EXACT)
def test_the_two_simulators_agree(sampler) -> None:  # type: ignore[no-untyped-def]
    assert float(z_scores(Scale(), one_step(sampler)).abs().max()) < BOUND


def test_the_two_simulators_agree_of_gibbs_sampling() -> None:
    assert float(z_scores(Sum(), one_step(Gibbs())).abs().max()) < BOUND


@pytest.mark.parametrize("sampler", BROKEN, ids=lambda s: type(s).__name__)
def test_a_mistake_in_the_acceptance_is_found(sampler) -> None:  # type: ignore[no-untyped-def]
    z = z_scores(Scale(), one_step(sampler))
    assert not bool(z.abs().max() < 6)  # or they are not finite


def test_a_mistake_in_a_conditional_is_found() -> None:
    assert float(z_scores(Sum(), one_step(Gibbs()), variance=0.6).abs().max()) > 6
