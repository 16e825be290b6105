"""Contrastive divergence of Boltzmann machines against the exact gradient, by enumeration of all states."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from ebm.energies import BoltzmannMachine, DeepBeliefNetwork, RestrictedBoltzmannMachine
from ebm.energies.binary_units import binary_states
from ebm.energies.boltzmann import symmetric
from ebm.errors import BadConfig
from ebm.objectives import ContrastiveDivergence, GreedyConfig, PersistentCD
from ebm.samplers import Gibbs, ReplayBuffer

D, M = 6, 4
V = binary_states(D)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@lru_cache
def data(n: int = 2000) -> Tensor:
    """Rows of one of two patterns, a tenth of whose units are flipped."""
    generator = seeded(7)
    pattern = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 1]])
    rows = pattern[torch.randint(0, 2, (n,), generator=generator)]
    return (rows - (torch.rand(n, D, generator=generator) < 0.1).float()).abs()


def negative_log_likelihood(energy: nn.Module, x: Tensor) -> Tensor:
    return energy(x).mean() + (-energy(V)).logsumexp(0)


def half_trained(kind: str = "rbm", n_steps: int = 60) -> Any:
    torch.manual_seed(1)
    energy = RestrictedBoltzmannMachine((D,), M) if kind == "rbm" else BoltzmannMachine((D,), 2)
    energy.fit(data())
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.05)
    for _ in range(n_steps):
        optimizer.zero_grad()
        negative_log_likelihood(energy, data()).backward()
        optimizer.step()
    return energy


def gradient(loss: Tensor, energy: nn.Module) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(energy.parameters()))])


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.cosine_similarity(a, b, dim=0))


@pytest.mark.parametrize("kind, n_steps", [("rbm", 20), ("boltzmann", 5)])
def test_cd_and_persistent_cd_point_where_the_exact_gradient_does(kind: str, n_steps: int) -> None:
    energy, generator = half_trained(kind, n_steps), seeded(2)
    exact = gradient(negative_log_likelihood(energy, data()), energy)
    many = data().repeat(6, 1)  # chains enough that what is left is the bias of few steps

    def by_cd(k: int) -> Tensor:
        return gradient(ContrastiveDivergence(Gibbs(), k)(energy, many, generator).loss, energy)

    one, long = by_cd(1), by_cd(20)
    persistent = PersistentCD(Gibbs(), 20, ReplayBuffer(len(many), fresh_share=0.0), fresh="binary")
    for _ in range(2):  # the parameters stay, so that the chains come to the model's own law
        loss = persistent(energy, many, generator).loss
    found = gradient(loss, energy)  # pyright: ignore[reportPossiblyUnboundVariable]
    assert cosine(one, exact) > 0.9
    for other in (long, found):
        assert cosine(other, exact) > 0.99 and (other - exact).norm() < 0.15 * exact.norm()


def trained(energy: Any, objective: Any, n_steps: int = 300, rate: float = 0.03) -> Any:
    generator = seeded(4)
    optimizer = torch.optim.Adam(energy.parameters(), lr=rate)
    for i in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - i / n_steps)
        batch = data()[torch.randint(len(data()), (200,), generator=generator)]
        optimizer.zero_grad()
        objective(energy, batch, generator).loss.backward()
        optimizer.step()
    return energy


@lru_cache
def best() -> float:
    """The negative log-likelihood of the machine trained by the exact gradient."""
    return float(negative_log_likelihood(half_trained(n_steps=300), data()).detach())


def fresh_machine() -> Any:
    torch.manual_seed(1)
    energy = RestrictedBoltzmannMachine((D,), M)
    energy.fit(data())
    return energy


@pytest.mark.parametrize("persistent", [False, True])
def test_training_comes_to_the_exact_maximum_of_the_likelihood(persistent: bool) -> None:
    objective = ContrastiveDivergence(Gibbs(), 1)
    if persistent:
        objective = PersistentCD(Gibbs(), 1, ReplayBuffer(200, fresh_share=0.0), fresh="binary")
    before = float(negative_log_likelihood(fresh_machine(), data()).detach())
    after = float(negative_log_likelihood(trained(fresh_machine(), objective), data()).detach())
    assert before > best() + 0.5  # independent units are no answer
    assert after < best() + 0.05


def test_couplings_of_visible_units_are_recovered() -> None:
    """Without hidden units the likelihood is concave: there is one answer, that of the machine behind the rows."""
    truth = BoltzmannMachine((D,), 0)
    with torch.no_grad():
        truth.visible_coupling.copy_(torch.randn(D, D, generator=seeded(5)).triu(1))
        truth.visible_bias.copy_(
            -0.5 * symmetric(truth.visible_coupling).sum(1)
        )  # each unit is 1 half the time
        p = (-truth(V)).softmax(0)
    energy = BoltzmannMachine((D,), 0)
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.05)
    generator = seeded(8)
    for i in range(250):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - i / 250)
        x = V[torch.multinomial(p, 1000, replacement=True, generator=generator)]
        optimizer.zero_grad()
        ContrastiveDivergence(Gibbs(), 1)(energy, x, generator).loss.backward()
        optimizer.step()
    error = (energy.visible_coupling - truth.visible_coupling).detach().triu(1).abs().max()
    assert error < 0.3 and truth.visible_coupling.detach().abs().max() > 1.5
    assert torch.equal(energy.visible_coupling.tril(), torch.zeros(D, D))


# ---- layer by layer ------------------------------------------------------------------------------------


def bound(network: DeepBeliefNetwork) -> float:
    """The mean over the data of the bound on log p, with the top machine's Z by enumeration of its visible units."""
    top = network.layer(1)
    log_z = (-top(binary_states(top.shape[0]))).logsumexp(0)
    return float((-network(data()).mean() - log_z).detach())


def test_a_tied_second_layer_raises_the_bound_and_leaves_the_first_alone() -> None:
    torch.manual_seed(2)
    network = DeepBeliefNetwork((D,), (M, D), n_draws=64)
    # Stopped early, so that something is left for the second layer.
    network.layer(0).load_state_dict(half_trained(n_steps=25).state_dict())
    first = {k: v.clone() for k, v in network.layer(0).state_dict().items()}
    upper = GreedyConfig(layer=2, tied=True, persistent=True, buffer_size=200).build()
    upper.prepare(network, data(), seeded())
    before = bound(network)
    exact = -float(negative_log_likelihood(network.layer(0), data()).detach())
    assert before == pytest.approx(exact, abs=1e-4)  # tied, the two layers are the machine below
    trained(network, upper, 150, rate=0.05)
    assert bound(network) > before + 0.01  # all that a better prior of four units can give here is about 0.03
    assert all(torch.equal(v, first[k]) for k, v in network.layer(0).state_dict().items())


def test_a_layer_is_trained_on_what_the_ones_below_make_of_the_data() -> None:
    torch.manual_seed(2)
    network = DeepBeliefNetwork((D,), (M, 3))
    with torch.no_grad():
        network.layer(0).weight.mul_(200)
    for activities in ("sample", "mean"):
        objective = GreedyConfig(layer=2, activities=activities).build()
        objective.prepare(network, data(), seeded())
        wanted = network.layer(0).hidden_probabilities(data()).mean(0)
        torch.testing.assert_close(
            torch.sigmoid(network.layer(1).visible_bias).detach(), wanted.detach(), atol=0.03, rtol=0
        )
        objective(network, data(), seeded()).loss.backward()
        assert all(p.grad is None for p in network.layer(0).parameters())
        assert all(p.grad is not None for p in network.layer(1).parameters())


def test_layers_that_are_not_there_or_do_not_fit_are_refused() -> None:
    network = DeepBeliefNetwork((D,), (M, 3))
    with pytest.raises(BadConfig, match="no layer 3; the network has 2"):
        GreedyConfig(layer=3).build()(network, data(), seeded())
    for layer in (1, 2):
        with pytest.raises(BadConfig, match=f"layer {layer} cannot be tied"):
            GreedyConfig(layer=layer, tied=True).build().prepare(network, data(), seeded())


def test_persistent_chains_of_a_layer_are_saved() -> None:
    network = DeepBeliefNetwork((D,), (M, 3))
    objective = GreedyConfig(layer=2, persistent=True, buffer_size=2000).build()
    objective(network, data(), seeded())
    state = objective.state_dict()
    assert state["states"].shape == (2000, M)
    other = GreedyConfig(layer=2, persistent=True, buffer_size=2000).build()
    other.load_state_dict(state)
    assert torch.equal(other(network, data(), seeded(1)).loss, objective(network, data(), seeded(1)).loss)
