"""What every density objective must do: recover a known Gaussian's precision at d = 1 and d = 8, right in sign and
scale. A new objective adds a row to OBJECTIVES."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm.energies import MLPConfig, ResidualConfig, ShallowConfig
from ebm.energies.analytic import Gaussian
from ebm.objectives import (
    ContrastiveDivergence,
    DenoisingScoreMatching,
    JointObjective,
    MaximumLikelihood,
    PersistentCD,
    Recovery,
    Restoration,
    ScoreMatching,
    SlicedScoreMatching,
)
from ebm.samplers import MALA, Langevin, ReplayBuffer
from ebm.types import LossOutput, Objective


class ByRestoring(nn.Module):
    """An energy whose own denoiser, x - sigma^2 grad E(x, sigma), is what an objective sees."""

    def __init__(self, energy: Any):
        super().__init__()
        self.energy = energy

    def restore(self, x: Tensor, sigma: Tensor) -> Tensor:
        x = x.requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.energy(x, sigma).sum(), x, create_graph=True)
        return x - sigma.square()[:, None] * gradient


class RestorationOfGaussian(Restoration):
    def __call__(self, energy: Any, x: Tensor, generator: torch.Generator) -> LossOutput:
        return super().__call__(ByRestoring(energy), x, generator)


OBJECTIVES: dict[str, Any] = {
    "dsm_one_sigma": lambda: DenoisingScoreMatching(0.3),
    "dsm_many_sigmas": lambda: DenoisingScoreMatching(0.1, 1.0),
    "dsm_log_normal": lambda: DenoisingScoreMatching(0.05, 3.0, log_mean=-0.7, log_sd=0.8),
    "restoration": lambda: RestorationOfGaussian(0.05, 3.0, log_mean=-0.7, log_sd=0.8),
    "joint": lambda: JointObjective(DenoisingScoreMatching(0.3)),
    "cd_langevin": lambda: ContrastiveDivergence(Langevin(0.05), k_steps=5),
    "cd_mala": lambda: ContrastiveDivergence(MALA(0.2), k_steps=5),
    "persistent_cd": lambda: PersistentCD(Langevin(0.05), 10, ReplayBuffer(2048, 0.02), fresh="gaussian"),
    "score_matching_exact": lambda: ScoreMatching("exact"),
    "score_matching_hutchinson": lambda: ScoreMatching("hutchinson"),
    "sliced": lambda: SlicedScoreMatching(),
    "sliced_reduced": lambda: SlicedScoreMatching(reduced=True),
    "maximum_likelihood": lambda: MaximumLikelihood(10, 0.4, 0.1),
    "maximum_likelihood_noise": lambda: MaximumLikelihood(30, 0.5, 0.1, start="noise"),
    "maximum_likelihood_persistent": lambda: MaximumLikelihood(5, 0.3, 0.1, start="persistent"),
    "maximum_likelihood_uncorrected": lambda: MaximumLikelihood(30, 0.2, 0.01, metropolis=False),
    "recovery": lambda: Recovery(MALA(0.3), 10, 0.5),
    "recovery_range": lambda: Recovery(MALA(0.2), 10, (0.3, 1.0)),
    "recovery_levels": lambda: Recovery(MALA(0.2), 10, levels=(0.1, 0.3, 0.6, 1.2)),
}
# The same equations as a quicker row's, or chains; tests/objectives has the chains at reduced size.
SLOW = {
    "joint",
    "score_matching_exact",
    "sliced",
    "maximum_likelihood",
    "maximum_likelihood_noise",
    "maximum_likelihood_persistent",
    "maximum_likelihood_uncorrected",
    "recovery",
    "recovery_range",
    "recovery_levels",
}
every_objective = [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in OBJECTIVES]


def target(d: int) -> Gaussian:
    """Correlated, with standard deviations from .7 to 1.4."""
    generator = torch.Generator().manual_seed(d)
    rotation = torch.linalg.qr(torch.randn(d, d, generator=generator)).Q
    scales = torch.linspace(0.7, 1.4, d) if d > 1 else torch.tensor([0.7])
    precision = rotation @ torch.diag(scales**-2) @ rotation.T
    return Gaussian(torch.linspace(-0.5, 0.5, d), (precision + precision.T) / 2)


def fit(energy: nn.Module, objective: Objective, x: Tensor, n_steps: int, rate: float) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(energy.parameters(), lr=rate)
    losses = []
    for i in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * i / n_steps))
        batch = x[torch.randint(len(x), (512,), generator=generator)]
        loss = objective(energy, batch, generator).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def relative_error(found: Gaussian, truth: Gaussian) -> float:
    return float(((found.precision - truth.precision).norm() / truth.precision.norm()).detach())


def recovered(objective: Objective, d: int) -> tuple[Gaussian, Gaussian]:
    truth = target(d)
    x = truth.sample(20_000, torch.Generator().manual_seed(2))
    energy = Gaussian(torch.zeros(d), torch.eye(d), learnable=True)
    fit(energy, objective, x, n_steps=500, rate=0.03)
    return energy, truth


@pytest.mark.parametrize("d", [1, 8])
@pytest.mark.parametrize("name", every_objective)
def test_recovers_the_precision_of_a_gaussian(name: str, d: int) -> None:
    found, truth = recovered(OBJECTIVES[name](), d)
    start = Gaussian(torch.zeros(d), torch.eye(d))
    assert relative_error(start, truth) > 0.3  # the start is no answer
    assert relative_error(found, truth) < 0.10
    assert float((found.mean - truth.mean).norm().detach()) < 0.1 * math.sqrt(d)


def test_a_network_recovers_the_correlation_of_a_gaussian() -> None:
    # Its base has independent columns; what lies off the diagonal must come from training.
    covariance, sigma = torch.tensor([[1.0, 0.8], [0.8, 1.0]]), 0.3
    truth = Gaussian(torch.zeros(2), torch.linalg.inv(covariance))
    x = truth.sample(20_000, torch.Generator().manual_seed(2))
    torch.manual_seed(0)
    energy = ShallowConfig(width=64, sigma_min=0.1, sigma_max=2.0).build((2,))
    energy.fit(x)  # type: ignore[operator]

    def precision() -> Tensor:
        """The slope of grad E over rows at that noise level: for a Gaussian, its precision."""
        noisy = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            gradient = energy.gradient(noisy, sigma=sigma)  # type: ignore[operator]
        return torch.linalg.lstsq(noisy, gradient).solution

    wanted = torch.linalg.inv(covariance + sigma**2 * torch.eye(2))
    assert (precision() - wanted).norm() > 0.3 * wanted.norm()
    losses = fit(energy, DenoisingScoreMatching(0.1, 2.0), x, 1000, 3e-3)
    assert sum(losses[-50:]) < sum(losses[:50])
    assert (precision() - wanted).norm() < 0.05 * wanted.norm()


def test_a_gradient_written_by_hand_gives_the_same_loss_and_the_same_step() -> None:
    x = target(4).sample(64, torch.Generator().manual_seed(2)).double()
    torch.manual_seed(0)
    energy = ShallowConfig(width=8).build((4,)).double()
    answers = []
    for called in (energy, lambda x, sigma: energy(x, sigma)):  # a function has no `gradient`
        energy.zero_grad()
        loss, metrics = DenoisingScoreMatching(0.1, 4.0)(called, x, torch.Generator().manual_seed(5))
        loss.backward()
        # The level's offset c(sigma) has no part in the score.
        gradients = {k: p.grad for k, p in energy.named_parameters() if k != "offset"}
        answers.append((loss.detach(), metrics, gradients))
    (loss, metrics, by_hand), (other, others, by_autograd) = answers
    torch.testing.assert_close(loss, other)
    assert metrics == pytest.approx(others)
    assert by_hand.keys() == by_autograd.keys()
    for name, gradient in by_hand.items():
        expected = by_autograd[name]
        assert expected is not None and gradient is not None, name
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradient, expected)


class FlippedDSM(DenoisingScoreMatching):
    """The sign error that trains -E: the control that shows the test above can fail."""

    def __call__(self, energy: Any, x: Tensor, generator: torch.Generator) -> LossOutput:
        return super().__call__(lambda x, sigma=None: -energy(x, sigma), x, generator)


@pytest.mark.parametrize("d", [1, 8])
def test_a_flipped_sign_does_not_pass(d: int) -> None:
    found, truth = recovered(FlippedDSM(0.3), d)
    assert relative_error(found, truth) > 0.3


def test_a_single_noise_level_teaches_an_unconditional_energy_the_noisy_density() -> None:
    truth, sigma = target(1), 0.5
    x = truth.sample(20_000, torch.Generator().manual_seed(2))
    inner = Gaussian(torch.zeros(1), torch.eye(1), learnable=True)

    class Unconditional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor, sigma: object = None) -> Tensor:
            del sigma
            return self.inner(x)

    fit(Unconditional(), DenoisingScoreMatching(sigma), x, 500, 0.03)
    noisy = 1 / (1 / float(truth.precision) + sigma**2)
    assert float(inner.precision.detach()) == pytest.approx(noisy, rel=0.05)


def test_network_learns_the_relative_depth_of_two_modes() -> None:
    # Weights .75 and .25 of equal width: E(right) - E(left) = log 3 at the modes.
    generator = torch.Generator().manual_seed(3)
    side = torch.rand(20_000, generator=generator) < 0.75
    x = torch.where(side, -1.0, 1.0)[:, None] + 0.4 * torch.randn(20_000, 1, generator=generator)
    torch.manual_seed(0)
    energy = ResidualConfig(width=64, depth=2).build((1,))
    energy.fit(x)  # type: ignore[operator]
    losses = fit(energy, DenoisingScoreMatching(0.1, 3.0), x, 1500, 3e-3)
    assert sum(losses[-50:]) < sum(losses[:50])
    with torch.no_grad():
        left, right = energy(torch.tensor([[-1.0], [1.0]]), sigma=0.1).tolist()
    assert right - left == pytest.approx(math.log(3), abs=0.25)


@pytest.mark.parametrize("name", ["cd_langevin", "persistent_cd"])
def test_contrastive_divergence_trains_a_network(name: str) -> None:
    generator = torch.Generator().manual_seed(4)
    angle = 2 * math.pi * torch.rand(4000, generator=generator)
    ring = torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(4000, 2, generator=generator)
    torch.manual_seed(0)
    energy = MLPConfig(width=64, depth=2).build((2,))
    energy.fit(ring)  # type: ignore[operator]
    before = [p.clone() for p in energy.parameters()]
    sampler = Langevin(0.02)
    objective: Objective = (
        ContrastiveDivergence(sampler, 10, l2=0.01)
        if name == "cd_langevin"
        else PersistentCD(sampler, 20, ReplayBuffer(2048, 0.05), "gaussian", l2=0.01)
    )
    fit(energy, objective, ring, 300, 2e-3)
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(before, energy.parameters(), strict=True))
    with torch.no_grad():
        on_ring, centre, far = energy(ring).mean(), energy(torch.zeros(1, 2)), energy(torch.full((1, 2), 4.0))
    # The Gaussian base alone puts its least energy at the centre, where a ring has no data.
    assert on_ring < centre - 0.5
    assert on_ring < far - 0.5


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_same_seed_gives_the_same_loss(name: str) -> None:
    x = target(2).sample(64, torch.Generator().manual_seed(2))
    energy = Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.5, 2.0]]), learnable=True)
    losses = [
        float(OBJECTIVES[name]()(energy, x, torch.Generator().manual_seed(seed)).loss.detach())
        for seed in (5, 5, 6)
    ]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2] or name == "score_matching_exact"  # which draws nothing


def test_persistent_chains_are_saved_and_resumed() -> None:
    x = target(2).sample(64, torch.Generator().manual_seed(2))
    energy = Gaussian(torch.zeros(2), torch.eye(2), learnable=True)
    one, other = OBJECTIVES["persistent_cd"](), OBJECTIVES["persistent_cd"]()
    one(energy, x, torch.Generator().manual_seed(7))
    other.load_state_dict(one.state_dict())
    losses = [float(o(energy, x, torch.Generator().manual_seed(8)).loss.detach()) for o in (one, other)]
    assert losses[0] == losses[1]
    fresh = OBJECTIVES["persistent_cd"]()(energy, x, torch.Generator().manual_seed(8)).loss
    assert float(fresh.detach()) != losses[0]
