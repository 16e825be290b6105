"""The autoencoder's energy of rows: its metric, its scale, its growth, and what trains what."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from ebm.energies import AutoencoderConfig, RowAutoencoderEnergy
from ebm.objectives import ContrastiveDivergence, Reconstruction
from ebm.samplers import MALA

METRICS = ["euclidean", "covariance", "learned"]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def curve(n: int, seed: int = 0) -> Tensor:
    """Rows about a parabola in three columns; the third is noise of sd .3, the others' .05."""
    g = seeded(seed)
    t = 2 * torch.rand(n, generator=g) - 1
    x = torch.stack([1.5 * t, 1.5 * t.square() - 0.5, torch.zeros(n)], 1)
    return x + torch.tensor([0.05, 0.05, 0.3]) * torch.randn(n, 3, generator=g)


def built(metric: Any, x: Tensor, latent: int = 1) -> RowAutoencoderEnergy:
    torch.manual_seed(0)
    energy = AutoencoderConfig(latent=latent, width=32, metric=metric).build(tuple(x.shape[1:]))
    assert isinstance(energy, RowAutoencoderEnergy)
    energy.fit(x)
    return energy


def train(energy: RowAutoencoderEnergy, objective: Any, x: Tensor, n_steps: int, rate: float = 5e-3) -> None:
    generator, optimizer = seeded(1), torch.optim.Adam(energy.parameters(), lr=rate)
    for i in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * i / n_steps))
        loss = objective(energy, x[torch.randint(len(x), (128,), generator=generator)], generator).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.fixture(scope="module")
def trained() -> dict[str, RowAutoencoderEnergy]:
    """The same autoencoder under each metric, trained by reconstruction and settled."""
    x, out = curve(3000), {}
    first = built("euclidean", x)
    train(first, Reconstruction(0.2, 0.0), x, 400)
    for metric in METRICS:
        energy = built(metric, x)
        energy.autoencoder.load_state_dict(first.autoencoder.state_dict())
        energy.settle(x)
        out[metric] = energy
    return out


@pytest.mark.parametrize("metric", METRICS)
def test_it_separates_rows_off_the_curve_and_its_mean_is_half_the_columns(trained: Any, metric: str) -> None:
    energy, x = trained[metric], curve(3000)
    with torch.no_grad():
        normal, off = energy(x), energy(curve(500, 1) + torch.tensor([0.0, 0.6, 0.0]))
    assert float(normal.mean()) == pytest.approx(1.5, rel=1e-3)
    assert (
        off.median() > normal.quantile(0.95)
    ) or metric == "euclidean"  # to which .6 is two sds of the noise
    assert off.median() > normal.median()


def test_the_covariance_metric_is_mahalanobis_of_the_residual(trained: Any) -> None:
    energy, x = trained["covariance"], curve(3000)
    with torch.no_grad():
        residual = x - energy.decode(energy.encode(x))
        second = (residual.T @ residual / len(x)).inverse()
        expected = 0.5 * ((residual @ second) * residual).sum(1)
        torch.testing.assert_close(energy(x), expected, rtol=0.1, atol=0.02)
        assert float(torch.corrcoef(torch.stack([energy(x), expected]))[0, 1]) > 0.999


@pytest.mark.parametrize("metric", ["covariance", "learned"])
def test_the_metric_has_determinant_one_and_the_learned_one_is_moved_by_cd_alone(
    trained: Any, metric: str
) -> None:
    energy = built(metric, curve(3000))
    energy.load_state_dict(trained[metric].state_dict())
    before = energy.root().detach().clone()
    assert float(torch.det(before)) == pytest.approx(1, rel=1e-4)
    train(energy, Reconstruction(0.2, 0.0), curve(3000), 3)
    assert torch.equal(energy.root(), before)
    train(energy, ContrastiveDivergence(MALA(0.01), 3), curve(3000), 10, 2e-2)
    moved = energy.root().detach()
    assert torch.equal(moved, before) != (metric == "learned")
    assert float(torch.det(moved)) == pytest.approx(1, rel=1e-4)
    scale = float(energy.scale)
    energy.settle(curve(3000))  # a later stage leaves what was learnt
    assert torch.equal(energy.root(), moved) and float(energy.scale) == scale


def test_a_metric_that_a_first_stage_moved_is_kept() -> None:
    x = curve(1000)
    energy = built("learned", x)
    train(energy, ContrastiveDivergence(MALA(0.01), 2), x, 3)
    moved, scale = energy.root().detach().clone(), float(energy.scale)
    energy.settle(x)
    assert torch.equal(energy.root(), moved) and float(energy.scale) == scale


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_far_away_is_normal_in_any_direction(trained: Any, metric: str) -> None:
    energy, x = trained[metric], curve(3000)
    directions = torch.nn.functional.normalize(torch.randn(500, 3, generator=seeded(5)), dim=1)
    with torch.no_grad():
        highest = energy(x).max()
        at = [energy(radius * directions) for radius in (20.0, 40.0, 80.0)]
        codes = energy.encode(80 * directions)
    assert at[0].min() > highest
    assert (at[1] > 2 * at[0]).all() and (at[2] > 3 * at[1]).all()  # quadratic
    assert codes.abs().max() <= 3


def test_a_denoising_autoencoder_points_to_the_data() -> None:
    """(R(x) - x) / sigma^2 is the score function of the noisy data, here a standard Gaussian (Alain and Bengio)."""
    x, sigma = torch.randn(4000, 2, generator=seeded()), 0.5
    energy = built("euclidean", x, latent=2)
    train(energy, Reconstruction(sigma, 0.0, noise_draw="fixed"), x, 400)
    noisy = x[:1000] + sigma * torch.randn(1000, 2, generator=seeded(2))
    with torch.no_grad():
        score = (energy.decode(energy.encode(noisy)) - noisy) / sigma**2
    wanted = -noisy / (1 + sigma**2)
    assert float((score * wanted).sum() / (score.norm() * wanted.norm())) > 0.95
    assert float(score.norm() / wanted.norm()) == pytest.approx(1, abs=0.15)
