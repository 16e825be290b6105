"""Recovery likelihood: how likely the clean row is, given a noisy one.

    python examples/family/recovery.py

Chains of exp(-E) must travel between modes. Given a noisy copy x~ of a row, p(x | x~) ~ exp(-E(x) - |x~ - x|^2 / 2 g^2)
has one mode near x~, which short chains from x~ reach. The energy that maximises it is still that of the data. With a
ladder of noise levels each level is learnt from the next, and generation walks down the ladder.
"""

from __future__ import annotations

import torch

from ebm.data import draw_toy
from ebm.energies import MLPConfig, ResidualConfig
from ebm.energies.analytic import GaussianMixture
from ebm.objectives import RecoveryConfig
from ebm.samplers import AnnealedLangevinConfig, MALAConfig, anneal

MALA = MALAConfig(step_size=0.2)  # in units of g^2


def train(energy, config: RecoveryConfig, x: torch.Tensor, n_steps: int) -> None:
    objective, generator = config.build(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(energy.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        batch = x[torch.randint(len(x), (256,), generator=generator)]
        loss, _ = objective(energy, batch, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(energy.parameters(), 10.0)
        optimizer.step()
        schedule.step()


def one_level(quick: bool) -> float:
    """An energy of the clean data. How deep far modes are beside each other is what recovery tells least about: the
    order comes out, the difference only roughly."""
    truth = GaussianMixture(
        torch.tensor([[-1.2, 0.0], [1.2, 0.0]]), torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.25])
    )
    x = truth.sample(10_000, torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    energy = MLPConfig(width=64, depth=2).build((2,))
    energy.fit(x)
    train(energy, RecoveryConfig(sigma=1.0, k_steps=20, sampler=MALA), x, 2 if quick else 400)
    with torch.no_grad():
        left, right = energy(truth.means).tolist()
        true_left, true_right = truth(truth.means).tolist()
    print(
        f"one level: E(right mode) - E(left mode) = {right - left:.2f}; the truth {true_right - true_left:.2f}"
    )
    return right - left


def ladder(quick: bool) -> dict[str, float]:
    """Eight Gaussians on a circle: how many of them are visited by samples, and how evenly."""
    x, _ = draw_toy("eight_gaussians", 4000, 0)
    rows = torch.as_tensor(x, dtype=torch.float32)
    rows = (rows - rows.mean(0)) / rows.std()
    torch.manual_seed(0)
    energy = ResidualConfig(width=64, depth=2).build((2,))
    energy.fit(rows)
    config = RecoveryConfig(levels=(0.05, 0.1, 0.2, 0.4, 0.8, 1.6), k_steps=8, sampler=MALA)
    train(energy, config, rows, 2 if quick else 500)
    sampler = AnnealedLangevinConfig(
        sigma_min=0.05, sigma_max=0.8, n_levels=12, step_size=0.2, n_steps_per_level=2 if quick else 20
    ).build()
    generator = torch.Generator().manual_seed(2)
    start = 1.3 * torch.randn(1000, 2, generator=generator)
    y = anneal(sampler, energy, start, generator).x
    angle = torch.atan2(y[:, 1], y[:, 0])
    shares = torch.histc(torch.remainder(angle + torch.pi / 8, 2 * torch.pi), 8, 0, 2 * torch.pi) / len(y)
    distance = torch.cdist(y, rows).amin(1).median()
    print(f"ladder: shares of the eight modes {[round(s, 3) for s in shares.tolist()]} (the truth .125)")
    print(f"        median distance of a sample to the nearest row {distance:.3f}")
    return {"modes": float((shares > 0.04).sum()), "distance": float(distance)}


def main(quick: bool = False) -> dict[str, float]:
    return {"depth": one_level(quick), **ladder(quick)}


if __name__ == "__main__":
    main()
