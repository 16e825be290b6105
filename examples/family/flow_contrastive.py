"""Flow-contrastive estimation: the noise learns as well, until it cannot be told from data.

python examples/family/flow_contrastive.py
"""

from __future__ import annotations

import numpy as np
import torch

from ebm.data import draw_toy
from ebm.data.toy_density import truth
from ebm.energies import MLPConfig, log_z
from ebm.objectives import FlowContrastiveConfig
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric


def main(quick: bool = False) -> dict[str, float]:
    x = torch.as_tensor(np.asarray(draw_toy("moons", 10_000, 0)[0]), dtype=torch.float32)
    fresh = torch.as_tensor(np.asarray(draw_toy("moons", 4000, 1)[0]), dtype=torch.float32)

    torch.manual_seed(0)
    energy = MLPConfig(width=64, depth=2).build((2,))
    energy.fit(x)  # type: ignore[operator]

    # The partner: a flow, which has a density and can be drawn from. For `warmup` steps it is fitted by maximum
    # likelihood; then it climbs the loss that the energy descends. One backward pass moves both.
    objective = FlowContrastiveConfig(warmup=5 if quick else 200).build()
    loop = LoopConfig(n_steps=10 if quick else 1000, batch_size=256, learning_rate=3e-3, log_every=1)
    logged: list[dict[str, float]] = []
    run = Trainer(energy, objective, x, loop, make_fabric("cpu"), seed=0)
    run.run(on_step=lambda step, n, figures: logged.append(figures))

    # Telling one from the other starts easy, and ends at chance: log 4 is the loss of a coin.
    print(
        f"logistic loss {logged[0]['logistic']:.3f} at first, {logged[-1]['logistic']:.3f} at last (chance 1.386)"
    )
    learnt, flow = log_z.known(energy), objective.partner
    assert learnt is not None and flow is not None
    with torch.no_grad():
        exact = truth("moons")(fresh)  # -log p
        by_energy = float((energy(fresh) + learnt - exact).mean())
        by_flow = float((-flow.flow.log_prob(fresh) - exact).mean())
    # Both are densities of the data now; the energy is not bound to be an invertible map of a Gaussian.
    print(f"KL from the truth: energy {by_energy:.3f} nats, flow {by_flow:.3f} nats")
    print(f"log Z of the energy: {learnt:.3f}")
    return {"kl_energy": by_energy, "kl_flow": by_flow, "log_z": learnt, "logistic": logged[-1]["logistic"]}


if __name__ == "__main__":
    main()
