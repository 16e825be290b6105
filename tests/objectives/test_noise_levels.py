"""Noise levels of the denoising objectives: their distribution, their weights, and the losses by their formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm
from torch import Generator, Tensor

from ebm.config import validate
from ebm.energies import UNetConfig
from ebm.errors import BadConfig
from ebm.objectives import (
    DenoisingScoreMatching,
    DSMConfig,
    Restoration,
    RestorationConfig,
)
from ebm.objectives.noise_levels import denoising_weight, log_normal, log_uniform, strata


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def test_strata_have_one_draw_each() -> None:
    u = strata(torch.zeros(100, 3), seeded())
    assert torch.equal((100 * u).floor(), torch.arange(100.0))
    first = torch.cat([strata(torch.zeros(4, 1), seeded(i)) % 0.25 * 4 for i in range(300)])
    assert kstest(first.numpy(), "uniform").pvalue > 0.01


def test_log_uniform_levels() -> None:
    sigma = log_uniform(torch.zeros(2000, 1), seeded(), 0.1, 5.0)
    assert sigma.min() >= 0.1 and sigma.max() <= 5.0
    assert float(sigma.median()) == pytest.approx(math.sqrt(0.1 * 5.0), rel=0.01)
    assert torch.equal(log_uniform(torch.zeros(3, 1), seeded(), 0.3, 0.3), torch.full((3,), 0.3))


def test_log_normal_levels() -> None:
    sigma = log_normal(torch.zeros(4000, 1), seeded(), -0.5, 1.1, 1e-9, 1e9)
    for q in (0.05, 0.5, 0.95):
        assert float(sigma.log().quantile(q)) == pytest.approx(norm.ppf(q, -0.5, 1.1), abs=0.01)
    assert torch.isfinite(sigma).all()
    clipped = log_normal(torch.zeros(4000, 1), seeded(), -0.5, 1.1, 0.3, 1.2)
    assert float(clipped.min()) == pytest.approx(0.3) and float(clipped.max()) == pytest.approx(1.2)
    assert float((clipped > 1.199).float().mean()) == pytest.approx(
        norm.sf(math.log(1.2), -0.5, 1.1), abs=0.01
    )


def test_weights_by_hand() -> None:
    found = denoising_weight(torch.tensor([0.1, 1.0, 100.0]))
    expected = [0.25 * (1 / s**2 + 1 / 0.15) for s in (0.1, 1.0, 100.0)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


# ---- losses ----------------------------------------------------------------------------------------------


class Quadratic:
    """E(x, sigma) = |x|^2 / (2 (1 + sigma^2)), and the noisy rows that it was asked about."""

    def __init__(self) -> None:
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.seen.append((x.detach(), sigma))
        return x.flatten(1).square().sum(1) / (2 * (1 + sigma.square()))

    def restore(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.seen.append((x.detach(), sigma))
        return x / (1 + sigma.square())[:, None, None, None]


def images() -> Tensor:
    return torch.randn(16, 1, 3, 2, generator=seeded(5))


def draws(x: Tensor) -> tuple[Tensor, Tensor]:
    """The uniform draws and the noise, in the order in which an objective makes them."""
    generator = seeded(7)
    where = torch.rand(16, generator=generator)
    return (torch.arange(16) + where) / 16, torch.randn(x.shape, generator=generator)


def test_log_uniform_score_matching_by_its_formula() -> None:
    x, energy = images(), Quadratic()
    u, eps = draws(x)
    sigma = 0.1 * (math.log(40.0) * u).exp()
    wide = sigma[:, None, None, None]
    gradient = (x + wide * eps) / (1 + wide.square())
    expected = (wide * gradient - eps).square().mean()
    loss = DenoisingScoreMatching(0.1, 4.0)(energy, x, seeded(7)).loss
    torch.testing.assert_close(energy.seen[0][1], sigma, rtol=1e-6, atol=0)
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-6, atol=0)


def test_log_normal_score_matching_is_the_weighted_error_of_the_denoiser() -> None:
    # sigma grad E - eps = -(denoised - x) / sigma: weight sigma^2 of the one is the plain weight of the other.
    x, energy = images(), Quadratic()
    u, eps = draws(x)
    sigma = torch.from_numpy(norm.ppf(u.double().numpy(), -0.5, 1.1)).exp().clamp(0.1, 4.0).float()
    noisy = x + sigma[:, None, None, None] * eps
    error = (noisy / (1 + sigma.square())[:, None, None, None] - x).flatten(1).square().mean(1)
    expected = (denoising_weight(sigma) * error).mean()
    score = DenoisingScoreMatching(0.1, 4.0, -0.5, 1.1)(energy, x, seeded(7)).loss
    torch.testing.assert_close(score.detach(), expected, rtol=1e-4, atol=0)
    answer = Restoration(0.1, 4.0, -0.5, 1.1)(energy, x, seeded(7))
    torch.testing.assert_close(answer.loss, expected, rtol=1e-4, atol=0)
    for _, level in energy.seen:
        torch.testing.assert_close(level, sigma, rtol=1e-4, atol=0)
    residual = (noisy - noisy / (1 + sigma.square())[:, None, None, None]).flatten(1).square().sum(1)
    energies = residual / (2 * sigma.square())
    assert answer.metrics["real"] == pytest.approx(float(energies.mean()), rel=1e-4)
    assert answer.metrics["spread"] == pytest.approx(float(energies.std()), rel=1e-4)


def test_configurations_build_what_they_say() -> None:
    dsm = DSMConfig(sigma_min=0.1, sigma_max=4.0, log_mean=-0.5, log_sd=0.9).build()
    assert (dsm.sigma_min, dsm.sigma_max, dsm.log_mean, dsm.log_sd) == (0.1, 4.0, -0.5, 0.9)
    built = RestorationConfig(sigma_min=0.1, sigma_max=4.0, log_mean=0.2, log_sd=0.9).build()
    assert (built.sigma_min, built.sigma_max, built.log_mean, built.log_sd) == (0.1, 4.0, 0.2, 0.9)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (DSMConfig, {"log_mean": -0.5}, "'log_mean' needs 'sigma_max'"),
        (DSMConfig, {"sigma_min": 1.0, "sigma_max": 0.5}, "'sigma_max' is below 'sigma_min'"),
        (RestorationConfig, {"sigma_min": 1.0, "sigma_max": 0.5}, "'sigma_max' is below 'sigma_min'"),
        (RestorationConfig, {"log_sd": 0.0}, "log_sd: "),
    ],
)
def test_levels_that_cannot_be_drawn_are_refused(kind: Any, values: dict[str, float], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        validate(kind, values, "test")


def test_both_ways_of_drawing_levels_train_a_network() -> None:
    torch.manual_seed(0)
    energy = UNetConfig(widths=(4, 6), rank=4).build((1, 3, 2))
    energy.fit(images())  # type: ignore[operator]
    for objective in (DenoisingScoreMatching(0.1, 4.0), DenoisingScoreMatching(0.1, 4.0, -0.5)):
        energy.zero_grad()
        objective(energy, images(), seeded()).loss.backward()
        assert max(float(p.grad.abs().max()) for p in energy.parameters() if p.grad is not None) > 1e-4
