"""Implicit and sliced score matching: closed forms on Gaussians, unbiased traces, and that wrong forms do not pass."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from ebm.energies import MLPConfig
from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.errors import BadConfig
from ebm.objectives import DenoisingScoreMatching, ScoreMatching, ScoreMatchingConfig, SlicedScoreMatching
from ebm.types import LossOutput


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def gaussian(d: int, learnable: bool = False) -> Gaussian:
    root = torch.randn(d, d, generator=seeded(d))
    precision = root @ root.T / d + 0.5 * torch.eye(d)
    return Gaussian(torch.linspace(-0.5, 0.5, d), (precision + precision.T) / 2, learnable)


def closed_form(energy: Gaussian, x: Tensor) -> Tensor:
    """mean 1/2 |P (x - m)|^2 - tr P, written without derivatives."""
    with torch.no_grad():
        gradient = (x - energy.mean) @ energy.precision
        return 0.5 * gradient.square().sum(1).mean() - energy.precision.trace()


@pytest.mark.parametrize("d", [1, 8])
def test_the_exact_loss_is_the_closed_form_of_a_gaussian(d: int) -> None:
    energy, x = gaussian(d), torch.randn(200, d, generator=seeded(1))
    loss, metrics = ScoreMatching("exact")(energy, x, seeded())
    torch.testing.assert_close(loss.detach(), closed_form(energy, x), rtol=1e-4, atol=1e-4)
    assert metrics["trace"] == pytest.approx(float(energy.precision.trace()), rel=1e-4)


def test_at_the_truth_the_loss_is_minus_half_the_trace_of_the_precision() -> None:
    energy = gaussian(3)
    x = energy.sample(200_000, seeded(1))
    loss = ScoreMatching("exact")(energy, x, seeded()).loss.detach()
    assert float(loss) == pytest.approx(-0.5 * float(energy.precision.trace()), rel=0.02)


def test_the_loss_differs_from_the_fisher_divergence_by_a_constant_of_the_data() -> None:
    """Hyvarinen's theorem, on a mixture whose score function is known; two energies, one constant."""
    truth = GaussianMixture(
        torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), torch.tensor([0.7, 0.5]), torch.tensor([0.4, 0.6])
    )
    x = truth.sample(100_000, seeded(2))

    def score(energy: Any) -> Tensor:
        points = x.clone().requires_grad_(True)
        return -torch.autograd.grad(energy(points).sum(), points)[0]

    constants = []
    for precision in (torch.eye(2), torch.diag(torch.tensor([0.5, 2.0]))):
        energy = Gaussian(torch.tensor([0.2, 0.1]), precision)
        fisher = 0.5 * (score(energy) - score(truth)).square().sum(1).mean()
        constants.append(float(fisher - ScoreMatching("exact")(energy, x, seeded()).loss.detach()))
    assert constants[0] == pytest.approx(constants[1], abs=0.03)
    assert constants[0] == pytest.approx(0.5 * float(score(truth).square().sum(1).mean()), abs=0.03)


@pytest.mark.parametrize("probes", ["rademacher", "gaussian"])
@pytest.mark.parametrize("kind", ["hutchinson", "sliced", "sliced_reduced"])
def test_random_projections_are_unbiased(kind: str, probes: Any) -> None:
    torch.manual_seed(0)
    energy = MLPConfig(width=8, depth=2).build((4,)).double()
    x = torch.randn(16, 4, generator=seeded(1), dtype=torch.float64)
    exact = float(ScoreMatching("exact")(energy, x, seeded()).loss.detach())
    objective = (
        ScoreMatching("hutchinson", 2, probes)
        if kind == "hutchinson"
        else SlicedScoreMatching(2, probes, reduced=kind == "sliced_reduced")
    )
    rows = x.repeat(100, 1)  # every row with 2 x 100 probes
    found = torch.tensor([float(objective(energy, rows, seeded(s)).loss.detach()) for s in range(20)])
    assert found.std() > 0  # otherwise nothing is estimated
    assert abs(float(found.mean()) - exact) < 4 * float(found.std()) / math.sqrt(20)


def test_the_reduced_form_has_less_variance_and_is_that_of_hutchinson() -> None:
    energy, x = gaussian(6), torch.randn(32, 6, generator=seeded(1))

    def spread(objective: Any) -> float:
        return float(
            torch.tensor([float(objective(energy, x, seeded(s)).loss.detach()) for s in range(200)]).std()
        )

    assert spread(SlicedScoreMatching(reduced=True)) < 0.8 * spread(SlicedScoreMatching())
    one = ScoreMatching("hutchinson", 3, "gaussian")(energy, x, seeded(5)).loss
    other = SlicedScoreMatching(3, "gaussian", reduced=True)(energy, x, seeded(5)).loss
    torch.testing.assert_close(one, other)


def test_rademacher_probes_are_exact_in_one_dimension() -> None:
    energy, x = gaussian(1), torch.randn(50, 1, generator=seeded(1))
    exact, estimate = (ScoreMatching(t)(energy, x, seeded()).loss for t in ("exact", "hutchinson"))
    torch.testing.assert_close(exact, estimate)


def test_noise_on_the_data_gives_the_gradient_of_denoising_score_matching() -> None:
    """Vincent (2011): the two losses differ by a constant, hence their gradients in theta agree on average."""

    class Unconditional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = gaussian(2, learnable=True)

        def forward(self, x: Tensor, sigma: object = None) -> Tensor:
            del sigma
            return self.inner(x)

    x, sigma = torch.randn(200_000, 2, generator=seeded(1)), 0.7
    gradients = []
    for objective in (ScoreMatching("exact", data_noise=sigma), DenoisingScoreMatching(sigma)):
        energy = Unconditional()
        objective(energy, x, seeded(2)).loss.backward()
        assert energy.inner.factor.grad is not None
        gradients.append(energy.inner.factor.grad.tril())
    # dsm: mean over d = 2 coordinates, times sigma^2, without the half.
    torch.testing.assert_close(gradients[0] * 2 * sigma**2 / 2, gradients[1], rtol=0.05, atol=0.02)


def test_the_exact_trace_of_long_rows_is_refused_in_one_line() -> None:
    energy = MLPConfig(width=4, depth=1).build((65,))
    with pytest.raises(BadConfig, match="rows of 65 numbers; above 64 use trace 'hutchinson'") as caught:
        ScoreMatching("exact")(energy, torch.zeros(2, 65), seeded())
    assert "\n" not in str(caught.value)
    assert ScoreMatchingConfig().trace == "hutchinson"


def test_an_energy_without_curvature_has_trace_zero() -> None:
    x = torch.randn(8, 3, generator=seeded())
    for trace in ("exact", "hutchinson"):
        loss, metrics = ScoreMatching(trace)(lambda x: 2 * x.sum(1), x, seeded())
        assert float(loss.detach()) == pytest.approx(0.5 * 3 * 4) and metrics["trace"] == 0


@pytest.mark.parametrize("shape", [(1, 4, 4), (7,)])
def test_images_and_rows_give_the_same_loss(shape: tuple[int, ...]) -> None:
    x = torch.randn(5, *shape, generator=seeded())

    def energy(x: Tensor) -> Tensor:
        return x.flatten(1).square().square().sum(1)

    flat = x.flatten(1)
    expected = (0.5 * (4 * flat**3).square().sum(1) - 12 * flat.square().sum(1)).mean()
    torch.testing.assert_close(ScoreMatching("exact")(energy, x, seeded()).loss.detach(), expected)
    # A diagonal Hessian: Rademacher probes are exact whatever d is.
    torch.testing.assert_close(ScoreMatching("hutchinson")(energy, x, seeded()).loss.detach(), expected)


# ---- that the Gaussian contract can fail ---------------------------------------------------------------


class Flipped(ScoreMatching):
    """Trains -E: passes every test of shape and finiteness."""

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        return super().__call__(lambda x: -energy(x), x, generator)


class Averaged(ScoreMatching):
    """The trace over d: at d = 1 no mistake at all, hence at d = 8 the one that only d > 1 shows."""

    def _exact(self, x: Tensor, gradient: Tensor) -> Tensor:
        return super()._exact(x, gradient) / x.shape[1]


@pytest.mark.parametrize(
    "kind, d, passes",
    [
        (ScoreMatching, 1, True),
        (ScoreMatching, 8, True),
        (Flipped, 1, False),
        (Flipped, 8, False),
        (Averaged, 8, False),
    ],
)
def test_a_flipped_sign_or_an_averaged_trace_does_not_pass(kind: Any, d: int, passes: bool) -> None:
    truth = gaussian(d)
    x = truth.sample(5000, seeded(1))
    energy = Gaussian(torch.zeros(d), torch.eye(d), learnable=True)
    objective, optimizer = kind("exact"), torch.optim.Adam(energy.parameters(), lr=0.1)
    for step in range(80):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * step / 80))
        loss = objective(energy, x[(256 * step) % 4700 :][:256], seeded(step)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = float(((energy.precision - truth.precision).norm() / truth.precision.norm()).detach())
    assert error < 0.15 if passes else error > 0.3
