"""A discriminator as an energy: what it says of data, early in the game and at its end.

python examples/family/adversarial.py
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata

from ebm.energies import DiscriminatorConfig
from ebm.energies.analytic import GaussianMixture
from ebm.evaluation.metrics import auroc
from ebm.objectives import AdversarialConfig
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric


def main(quick: bool = False) -> dict[str, float]:
    data = GaussianMixture(
        torch.tensor([[-1.5, 0.0], [1.5, 0.5]]), torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5])
    )
    x = data.sample(5000, torch.Generator().manual_seed(0))
    fresh = data.sample(1000, torch.Generator().manual_seed(1))
    far = fresh + torch.tensor([0.0, 5.0])
    y = [0] * 1000 + [1] * 1000

    found: dict[str, float] = {}
    for n_steps in (10, 20) if quick else (100, 1500):
        # E(x) = -f(x), f the logit of "x is data": at the optimum E = log p_g(x) / p(x), p_g the generator's density.
        torch.manual_seed(0)
        energy = DiscriminatorConfig(form="log_ratio", width=64, depth=2).build((2,))
        energy.fit(x)  # type: ignore[operator]
        objective = AdversarialConfig().build()
        loop = LoopConfig(n_steps=n_steps, batch_size=256, learning_rate=2e-3, log_every=1)
        logged: list[dict[str, float]] = []
        run = Trainer(energy, objective, x, loop, make_fabric("cpu"), seed=0)
        run.run(on_step=lambda step, n, figures, logged=logged: logged.append(figures))
        with torch.no_grad():
            on_data = energy(fresh)
            correlation = float(np.corrcoef(rankdata(on_data), rankdata(data(fresh)))[0, 1])
            away = auroc(torch.cat([on_data, energy(far)]).numpy(), y)
        print(
            f"{n_steps} steps: D(data) {logged[-1]['d_real']:.2f}, D(made) {logged[-1]['d_fake']:.2f}; on data E has "
            f"sd {float(on_data.std()):.2f} and correlation {correlation:.2f} with -log p; AUROC far away {away:.2f}"
        )
        found |= {f"correlation_{n_steps}": correlation, f"far_{n_steps}": away}
    print(
        "as the generator nears the data D nears 1/2, and E flattens: little is left to tell common data from rare"
    )
    return found


if __name__ == "__main__":
    main()
