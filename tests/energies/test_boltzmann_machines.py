"""Boltzmann machines small enough to enumerate: free energies, Gibbs' stationary law, conditionals."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from ebm.energies import BoltzmannMachine, DeepBeliefNetwork, RestrictedBoltzmannMachine
from ebm.energies.binary_units import binary_states, surprise
from ebm.energies.boltzmann import symmetric

D, M = 6, 4
V, H = binary_states(D), binary_states(M)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def randomised(machine: Any, sd: float = 0.7) -> Any:
    generator = seeded(3)
    with torch.no_grad():
        for parameter in machine.parameters():
            parameter.copy_(sd * torch.randn(parameter.shape, generator=generator))
    return machine.requires_grad_(False)


@lru_cache
def machine(name: str) -> Any:
    return randomised(
        {
            "rbm": lambda: RestrictedBoltzmannMachine((D,), M),
            "gaussian": lambda: RestrictedBoltzmannMachine((D,), M, "gaussian"),
            "boltzmann": lambda: BoltzmannMachine((D,), M),
            "ising": lambda: BoltzmannMachine((D,), 0),
        }[name]()
    )


def joint(name: str, v: Tensor, h: Tensor) -> Tensor:
    """E(v, h) of each row of v (B, d) with each of h (K, m), (B, K), written out term by term."""
    m = machine(name)
    pairs = torch.einsum("bi,ij,kj->bk", v, m.weight, h)
    if name == "gaussian":
        variance = m.log_variance.exp()
        pairs = torch.einsum("bi,ij,kj->bk", v / variance, m.weight, h)
        return ((v - m.visible_bias) ** 2 / (2 * variance)).sum(1)[:, None] - h @ m.hidden_bias - pairs
    total = -(v @ m.visible_bias)[:, None] - h @ m.hidden_bias - pairs
    if name in ("boltzmann", "ising"):
        for i in range(D):
            for j in range(i + 1, D):
                total = total - (m.visible_coupling[i, j] * v[:, i] * v[:, j])[:, None]
        for i in range(h.shape[1]):
            for j in range(i + 1, h.shape[1]):
                total = total - m.hidden_coupling[i, j] * h[:, i] * h[:, j]
    return total


def exact(name: str) -> Tensor:
    """p(v) of all 2^d rows, by the joint energies alone."""
    h = H[:1, :0] if name == "ising" else H
    return (-joint(name, V, h)).logsumexp(1).softmax(0)


def codes(x: Tensor) -> Tensor:
    """The place of each binary row among all states."""
    return (x @ 2.0 ** torch.arange(x.shape[1] - 1, -1, -1)).long()


def test_states_are_all_rows_in_the_order_of_counting() -> None:
    assert torch.equal(codes(V), torch.arange(2**D)) and binary_states(0).shape == (1, 0)


@pytest.mark.parametrize("name", ["rbm", "gaussian", "boltzmann", "ising"])
def test_the_free_energy_sums_the_hidden_units_out(name: str) -> None:
    v = torch.randn(50, D, generator=seeded()) if name == "gaussian" else V
    h = H[:1, :0] if name == "ising" else H
    torch.testing.assert_close(machine(name)(v), -(-joint(name, v, h)).logsumexp(1))
    if name in ("rbm", "gaussian"):
        torch.testing.assert_close(
            torch.stack([machine(name).joint_energy(v, one.expand(len(v), M)) for one in H], 1),
            joint(name, v, H),
        )


@pytest.mark.parametrize("name", ["rbm", "boltzmann", "ising"])
@pytest.mark.parametrize("begin", ["exact", "zeros"])
def test_gibbs_keeps_and_finds_the_exact_distribution(name: str, begin: str) -> None:
    n, p, generator = 20_000, exact(name), seeded(1)
    rows = torch.multinomial(p, n, replacement=True, generator=generator)
    x = V[rows] if begin == "exact" else torch.zeros(n, D)
    for _ in range(3 if begin == "exact" else 25):
        x = machine(name).gibbs(x, generator)
    counts = torch.bincount(codes(x), minlength=2**D)
    chi = ((counts - n * p) ** 2 / (n * p)).sum()
    assert chi < 2**D - 1 + 4 * (2 * (2**D - 1)) ** 0.5  # mean and sd of the chi-square law
    # The same bound sees a law that is a little off: of biases 0.1 higher.
    wrong = (p.log() + 0.1 * V.sum(1)).softmax(0)
    assert ((counts - n * wrong) ** 2 / (n * wrong)).sum() > 3 * chi


def test_gibbs_of_gaussian_units_has_the_exact_moments() -> None:
    m, generator, n = machine("gaussian"), seeded(1), 40_000
    # Given h, v is N(b + W h, s^2), so that log p(h) has a closed form.
    means = m.visible_bias + H @ m.weight.T
    variance = m.log_variance.exp()
    log_h = H @ m.hidden_bias + ((means**2 - m.visible_bias**2) / (2 * variance)).sum(1)
    p = log_h.softmax(0)
    x = torch.zeros(n, D)
    for _ in range(40):
        x = m.gibbs(x, generator)
    mean = p @ means
    covariance = torch.diag(variance) + (means - mean).T @ ((means - mean) * p[:, None])
    sd = covariance.diagonal().sqrt()
    assert ((x.mean(0) - mean).abs() / sd).max() < 0.03
    assert ((torch.cov(x.T) - covariance).abs() / (sd[:, None] * sd)).max() < 0.04


def test_conditionals_are_those_of_the_joint() -> None:
    m, p_joint = machine("rbm"), (-joint("rbm", V, H)).flatten().softmax(0).reshape(len(V), len(H))
    hidden = (p_joint / p_joint.sum(1, keepdim=True)) @ H
    torch.testing.assert_close(m.hidden_probabilities(V), hidden)
    visible = (p_joint / p_joint.sum(0)).T @ V
    torch.testing.assert_close(m.visible_mean(H), visible)


@pytest.mark.parametrize("name", ["rbm", "boltzmann"])
def test_surprise_is_the_conditional_of_each_unit(name: str) -> None:
    p, found = exact(name), surprise(machine(name), V)
    for i in range(D):
        flipped = V.clone()
        flipped[:, i] = 1 - flipped[:, i]
        torch.testing.assert_close(found[:, i], -(p / (p + p[codes(flipped)])).log(), atol=1e-4, rtol=1e-4)
    images = RestrictedBoltzmannMachine((1, 2, 3), M) if name == "rbm" else BoltzmannMachine((1, 2, 3), M)
    images.load_state_dict(machine(name).state_dict())
    torch.testing.assert_close(images.local_energies(V.reshape(-1, 1, 2, 3)), found.reshape(-1, 2, 3))


def test_what_the_machine_makes_of_a_row() -> None:
    m = machine("boltzmann")
    hidden = (-joint("boltzmann", V, H)).softmax(1) @ H
    wanted = torch.sigmoid(m.visible_bias + V @ symmetric(m.visible_coupling) + hidden @ m.weight.T)
    torch.testing.assert_close(m.decode(m.encode(V)), wanted)
    r = machine("rbm")
    torch.testing.assert_close(r.decode(r.encode(V)), r.visible_mean(r.hidden_probabilities(V)))


def test_fit_without_weights_gives_independent_units_of_the_right_means() -> None:
    x = (torch.rand(4000, D, generator=seeded()) < torch.linspace(0.05, 0.9, D)).float()
    x[:, 0] = 0  # never seen: still not impossible
    for m in (RestrictedBoltzmannMachine((D,), M), BoltzmannMachine((D,), M)):
        m.fit(x)
        torch.testing.assert_close(torch.sigmoid(m.visible_bias), x.mean(0), atol=1e-3, rtol=0)
        assert torch.isfinite(m.visible_bias).all()
    real = 3 + 2 * torch.randn(500, D, generator=seeded())
    gaussian = RestrictedBoltzmannMachine((D,), M, "gaussian")
    gaussian.fit(real)
    torch.testing.assert_close(gaussian.log_variance.exp(), real.var(0, correction=0))


@pytest.mark.parametrize("name", ["rbm", "gaussian"])
def test_the_path_leads_from_independent_units_to_the_machine(name: str) -> None:
    m, base = machine(name), torch.linspace(-1, 1, D)
    torch.testing.assert_close(m.interpolated(1.0, base)(V), m(V))
    start = m.interpolated(0.0, base)
    if name != "gaussian":
        log_z = torch.nn.functional.softplus(base).sum() + M * torch.log(torch.tensor(2.0))
        torch.testing.assert_close((-start(V)).logsumexp(0), log_z)
    half = m.interpolated(0.5, base)
    torch.testing.assert_close(half.weight, 0.5 * m.weight)
    torch.testing.assert_close(half.visible_bias, 0.5 * base + 0.5 * m.visible_bias)


# ---- deep belief networks ------------------------------------------------------------------------------


def deep(n_draws: int = 3000, tied: bool = False) -> DeepBeliefNetwork:
    torch.manual_seed(0)
    network = randomised(DeepBeliefNetwork((D,), (M, D if tied else 3), n_draws), sd=1.0)
    if tied:
        low, top = network.layer(0), network.layer(1)
        top.weight.copy_(low.weight.T)
        top.visible_bias.copy_(low.hidden_bias)
        top.hidden_bias.copy_(low.visible_bias)
    return network


def true_energy(network: DeepBeliefNetwork, v: Tensor) -> Tensor:
    """-log sum_h p(v | h) exp(-F(h)), over all h."""
    down = network.layer(0).visible_bias + H @ network.layer(0).weight.T
    log_p = v @ down.T - torch.nn.functional.softplus(down).sum(1)
    return -(log_p - network.layer(1)(H)).logsumexp(1)


def expected_bound(network: DeepBeliefNetwork, v: Tensor) -> Tensor:
    """The mean of the energy over all draws: the variational bound by enumeration of h."""
    low = network.layer(0)
    q = low.hidden_probabilities(v)
    log_q = H @ torch.logit(q).T + torch.log1p(-q).sum(1)  # (K, B)
    down = low.visible_bias + H @ low.weight.T
    log_p = v @ down.T - torch.nn.functional.softplus(down).sum(1)
    return (log_q.exp() * (log_q - log_p.T + network.layer(1)(H)[:, None])).sum(0)


def test_the_energy_of_a_deep_network_bounds_the_true_one_from_above() -> None:
    network = deep()
    true, bound = true_energy(network, V), expected_bound(network, V)
    assert (bound >= true - 1e-4).all() and (bound - true).max() > 0.1
    # 3,000 fixed draws are that expectation but for their error.
    torch.testing.assert_close(network(V), bound, atol=0.15, rtol=0)


def test_a_tied_second_layer_gives_back_the_machine_below_for_every_draw() -> None:
    network = deep(n_draws=2, tied=True)
    torch.testing.assert_close(network(V), network.layer(0)(V))
    torch.testing.assert_close(true_energy(network, V), network.layer(0)(V))


def test_a_deep_network_of_one_layer_is_its_machine() -> None:
    network = DeepBeliefNetwork((D,), (M,))
    assert torch.equal(network(V), network.layer(0)(V))


def test_a_deep_network_generates_what_its_layers_say() -> None:
    # Down from exact samples of the top machine, against p(v) by enumeration.
    network, n = deep(1), 20_000
    p = (-true_energy(network, V)).softmax(0)
    x = torch.zeros(n, D)
    generator = seeded(5)
    h = network.up(x, 1, generator)
    for _ in range(40):
        h = network.layer(1).gibbs(h, generator)
    counts = torch.bincount(codes(network.down(h, generator)), minlength=2**D)
    keep = n * p > 5
    chi = ((counts - n * p) ** 2 / (n * p))[keep].sum()
    assert chi < keep.sum() + 4 * (2 * keep.sum()) ** 0.5
    assert network.gibbs(x[:5], generator).shape == (5, D)
