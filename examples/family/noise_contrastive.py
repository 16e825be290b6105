"""Noise-contrastive estimation: a density, its constant included, by logistic regression against known noise.

python examples/family/noise_contrastive.py
"""

from __future__ import annotations

import math

import torch

from ebm.energies import MLPConfig, log_z
from ebm.energies.analytic import GaussianMixture
from ebm.objectives import NCEConfig
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric


def main(quick: bool = False) -> dict[str, float]:
    # Data whose density is known, so that we can see what was learnt: log p(x) = -truth(x).
    truth = GaussianMixture(
        means=torch.tensor([[-1.5, 0.0], [1.5, 0.5], [0.0, 1.8]]),
        sds=torch.tensor([0.5, 0.6, 0.4]),
        weights=torch.tensor([0.5, 0.3, 0.2]),
    )
    x = truth.sample(10_000, torch.Generator().manual_seed(0))

    # An energy of any kind: here a network of two layers on a Gaussian base.
    torch.manual_seed(0)
    energy = MLPConfig(width=64, depth=2).build((2,))
    energy.fit(x)  # type: ignore[operator]

    # The objective fits a Gaussian q to the data, draws four rows of it to a row of data, and asks which is which:
    # the logit is log p(x) / q(x) - log 4 with log p(x) = -E(x) - log Z. log Z is trained as one parameter more.
    objective = NCEConfig(nu=4).build()
    loop = LoopConfig(n_steps=20 if quick else 1000, batch_size=256, learning_rate=3e-3)
    Trainer(energy, objective, x, loop, make_fabric("cpu"), seed=0).run()
    learnt = log_z.known(energy)
    assert learnt is not None

    # The check that a plane allows: log Z by summing exp(-E) over a fine grid.
    line = torch.linspace(-7, 7, 301)
    with torch.no_grad():
        grid = -energy(torch.cartesian_prod(line, line)).double()
        exact = float(torch.logsumexp(grid, 0)) + 2 * math.log(14 / 300)
        fresh = truth.sample(4000, torch.Generator().manual_seed(1))
        divergence = float((energy(fresh) + learnt - truth(fresh)).mean())
    print(f"log Z learnt {learnt:.3f}, by quadrature {exact:.3f}")
    print(f"KL(truth || learnt) {divergence:.3f} nats, by {len(fresh)} fresh rows")
    point = torch.tensor([[-1.5, 0.0]])
    with torch.no_grad():
        print(
            f"log p at the left mode: {float(-energy(point)) - learnt:.2f}, truth {float(-truth(point)):.2f}"
        )
    return {"log_z": learnt, "exact": exact, "kl": divergence}


if __name__ == "__main__":
    main()
