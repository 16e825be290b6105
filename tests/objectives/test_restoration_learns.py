"""The objective `restoration` learns the posterior mean of Gaussian images, where the base was told wrong."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ebm.energies import RestorationConfig, RestorationEnergy
from ebm.objectives import RestorationConfig as Objective
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric

SHAPE, D = (1, 6, 6), 36


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def covariance() -> Tensor:
    """Neighbouring pixels alike."""
    place = torch.cartesian_prod(torch.arange(6.0), torch.arange(6.0))
    return 0.5 * torch.exp(-torch.cdist(place, place).square() / 8) + 0.01 * torch.eye(D)


def test_it_comes_nearer_to_the_posterior_mean_at_every_level() -> None:
    c = covariance()
    x = torch.randn(2000, D, generator=seeded(0)) @ torch.linalg.cholesky(c).T
    torch.manual_seed(0)
    energy = RestorationEnergy(SHAPE, RestorationConfig(widths=(8, 16), blocks=1, rank=D))
    energy.fit(
        0.7 * torch.randn(500, *SHAPE, generator=seeded(1))
    )  # as if pixels had nothing to do with each other

    def errors() -> list[float]:
        found = []
        for sigma in (0.3, 0.6, 1.2):
            noisy = x[:200] + sigma * torch.randn(200, D, generator=seeded(2))
            exact = torch.linalg.solve(c + sigma**2 * torch.eye(D), noisy.T).T @ c
            with torch.no_grad():
                restored = energy.restore(noisy.reshape(-1, *SHAPE), sigma).flatten(1)
            found.append(float((restored - exact).square().mean()))
        return found

    before = errors()
    loop = LoopConfig(n_steps=200, batch_size=64, learning_rate=5e-3, warmup_steps=5, ema=0.9)
    objective = Objective(sigma_min=0.1, sigma_max=3.0).build()
    Trainer(energy, objective, x.reshape(-1, *SHAPE), loop, make_fabric("cpu"), seed=3).run()
    for late, early in zip(errors(), before, strict=True):
        assert late < 0.5 * early
