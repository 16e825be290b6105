"""Contrastive divergence on two moons: what the chains are worth, and where they should start.

The loss is mean E(data) - mean E(negatives). Its gradient is that of -log p(data) if the negatives are samples of the
model's own p, which only an endless chain would give. CD-k starts k steps at the data (Hinton 2002), persistent CD goes
on from where the last batch's chains stopped (Tieleman 2008), and K = 0 is the control: noise as it comes, never moved.

The truth is known here, so that each energy can be asked for its distance from it: log Z by a sum over a fine grid,
then KL(p || model) in nats, and how far the slopes agree.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ebm.data import draw_toy
from ebm.data.toy_density import truth
from ebm.energies import MLPConfig
from ebm.objectives import ContrastiveDivergence, PersistentCD
from ebm.samplers import Langevin, ReplayBuffer
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric
from ebm.types import EnergyFn, Objective

SIDE = 5.0  # of the square, in standard deviations from its centre, over which densities are summed


def objectives() -> dict[str, Objective]:
    chain = Langevin(step_size=0.02)
    return {
        "K = 0, from noise": PersistentCD(chain, 0, ReplayBuffer(2048, fresh_share=1.0), "gaussian", l2=0.1),
        "CD-10, from data": ContrastiveDivergence(chain, 10, l2=0.001),
        "CD-10, from noise": PersistentCD(
            chain, 10, ReplayBuffer(2048, fresh_share=1.0), "gaussian", l2=0.001
        ),
        "persistent CD-10": PersistentCD(
            chain, 10, ReplayBuffer(2048, fresh_share=0.05), "gaussian", l2=0.001
        ),
    }


def distance(energy: Any, exact: EnergyFn, x: torch.Tensor, points: int) -> tuple[float, float]:
    """KL(p || exp(-E) / Z) in nats, and the mean cosine of the two score functions, at samples x (N, 2) of p."""
    axis = torch.linspace(-SIDE, SIDE, points)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        log_z = torch.logsumexp(-energy(grid), 0) + 2 * math.log(float(axis[1] - axis[0]))
        kl = (energy(x) + log_z - exact(x)).mean()
    slopes = []
    for each in (energy, exact):
        at = x.clone().requires_grad_(True)
        slopes.append(torch.autograd.grad(each(at).sum(), at)[0])
    return float(kl), float(torch.cosine_similarity(*slopes).mean())


def main(quick: bool = False) -> dict[str, float]:
    x = torch.from_numpy(draw_toy("moons", 4000, seed=0)[0]).float()
    mean, sd = x.mean(0), x.std(0)
    train, test = ((x - mean) / sd).split(3000)
    exact_energy, volume = truth("moons"), float(sd.log().sum())

    def exact(z: torch.Tensor, /) -> torch.Tensor:
        return exact_energy(z * sd + mean) - volume  # of the standardised rows

    figures = {}
    steps = 8 if quick else 1500
    loop = LoopConfig(n_steps=steps, batch_size=128, learning_rate=2e-3, warmup_steps=0 if quick else 100)
    print(f"{'':20} {'KL, nats':>9} {'cosine of slopes':>18}")
    for name, objective in {"untrained": None, **objectives()}.items():
        torch.manual_seed(0)
        energy: Any = MLPConfig(width=64, depth=2).build((2,))
        energy.fit(train)  # a Gaussian's energy, on which the network is quiet at first
        if objective is not None:
            Trainer(energy, objective, train, loop, make_fabric("cpu", "32-true"), seed=0).run()
        kl, cosine = distance(energy, exact, test, 61 if quick else 241)
        print(f"{name:20} {kl:9.3f} {cosine:18.3f}")
        figures |= {f"kl: {name}": kl, f"cosine: {name}": cosine}
    return figures


if __name__ == "__main__":
    main()
