"""Maximum likelihood by MCMC, and what happens when its chains are too short.

    python examples/family/maximum_likelihood.py

Two modes hold .75 and .25 of the data. The gradient of the likelihood is grad E at the data less grad E at draws of
exp(-E). The draws are ends of chains; where those cannot cross from mode to mode in time, they keep the proportion of
their starts, and the energy is pushed off the truth to make up for it.
"""

from __future__ import annotations

import torch

from ebm.energies.analytic import GaussianMixture
from ebm.objectives import MaximumLikelihoodConfig

MEANS, SDS = torch.tensor([[-1.2, 0.0], [1.2, 0.0]]), torch.tensor([0.5, 0.5])
TRUTH = GaussianMixture(MEANS, SDS, torch.tensor([0.75, 0.25]))

# Steps fall geometrically: large ones cross the valley, small ones settle. Metropolis's correction keeps each exact.
FORMS = {
    "12 steps from a Gaussian": MaximumLikelihoodConfig(n_steps=12, step_start=0.5, step_end=0.1),
    "60 steps, larger ones": MaximumLikelihoodConfig(n_steps=60, step_start=0.8, step_end=0.2),
}


def main(quick: bool = False) -> dict[str, float]:
    x = TRUTH.sample(20_000, torch.Generator().manual_seed(1))
    figures: dict[str, float] = {}
    print("share of the left mode; the truth is .750")
    for name, config in FORMS.items():
        # The right family, with wrong widths and shares: what is left to find is the proportion.
        energy = GaussianMixture(MEANS, SDS + 0.1, torch.tensor([0.5, 0.5]), learnable=True)
        objective, generator = config.build(), torch.Generator().manual_seed(0)
        n_steps = 2 if quick else 100
        optimizer = torch.optim.Adam(energy.parameters(), lr=0.05)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        for _ in range(n_steps):
            batch = x[torch.randint(len(x), (256,), generator=generator)]
            loss, metrics = objective(energy, batch, generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        share = float(energy.logits.softmax(0)[0].detach())
        print(f"{name:26}{share:.3f}   (accepted {metrics['acceptance']:.2f} of the steps)")
        figures[name] = share
    return figures


if __name__ == "__main__":
    main()
