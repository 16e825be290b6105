"""Score matching in four forms, none of which needs a chain or a partition function.

    python examples/family/score_matching.py

The data are draws of a mixture of two Gaussians, whose score function grad log p is known. One small network is trained
by each form; -grad E is then compared with the truth: the cosine of the two fields, and the Fisher divergence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebm.energies import MLPConfig, ScoreParametrisedConfig
from ebm.energies.analytic import GaussianMixture
from ebm.objectives import DSMConfig, ScoreMatchingConfig, SlicedScoreMatchingConfig

TRUTH = GaussianMixture(
    torch.tensor([[-1.2, 0.0], [1.2, 0.6]]), torch.tensor([0.5, 0.4]), torch.tensor([0.6, 0.4])
)
SIGMA = 0.2  # of the denoising forms: they learn the density with this noise

NETWORK = MLPConfig(width=64, depth=2)
FORMS = {
    # 1/2 |s|^2 + tr(ds/dx), s = -grad E: the Fisher divergence, but for a constant of the data.
    "implicit, exact trace": (NETWORK, ScoreMatchingConfig(trace="exact"), None),
    # The trace by one random probe: one backward pass instead of d.
    "implicit, Hutchinson": (NETWORK, ScoreMatchingConfig(trace="hutchinson"), None),
    # Both terms along random directions.
    "sliced": (NETWORK, SlicedScoreMatchingConfig(), None),
    # Noise is added, and sigma * grad E has to say which.
    "denoising": (NETWORK, DSMConfig(sigma_min=SIGMA), SIGMA),
    # The same over many levels, with an energy that is made of a denoiser.
    "denoising, |x - f|^2": (
        ScoreParametrisedConfig(width=64, depth=2),
        DSMConfig(sigma_min=0.1, sigma_max=1.0),
        SIGMA,
    ),
}


def train(energy: nn.Module, objective, x: Tensor, n_steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(energy.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        batch = x[torch.randint(len(x), (256,), generator=generator)]
        loss, _ = objective(energy, batch, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def score(energy, x: Tensor, sigma: float | None) -> Tensor:
    x = x.clone().requires_grad_(True)
    return -torch.autograd.grad(energy(x, sigma=sigma).sum(), x)[0]


def main(quick: bool = False) -> dict[str, float]:
    x = TRUTH.sample(20_000, torch.Generator().manual_seed(1))
    figures: dict[str, float] = {}
    print(f"{'form':24}{'cosine':>8}{'Fisher divergence':>20}")
    for name, (energy_config, objective_config, sigma) in FORMS.items():
        torch.manual_seed(0)
        energy = energy_config.build((2,))
        energy.fit(x)
        train(energy, objective_config.build(), x, 8 if quick else 1000)

        test = TRUTH.sample(4000, torch.Generator().manual_seed(2))
        if sigma is not None:
            test = test + sigma * torch.randn(test.shape, generator=torch.Generator().manual_seed(3))
        found, true = score(energy, test, sigma), score(TRUTH, test, sigma)
        cosine = float((found * true).sum() / (found.norm() * true.norm()))
        fisher = float((found - true).square().sum(1).mean())
        print(f"{name:24}{cosine:8.3f}{fisher:20.3f}")
        figures |= {f"{name}: cosine": cosine, f"{name}: fisher": fisher}
    print("The denoising forms are compared with the truth at their noise, the others with the truth itself.")
    return figures


if __name__ == "__main__":
    main()
