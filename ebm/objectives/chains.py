"""What the contrastive-divergence objectives share: where negatives move, and the loss they give."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from ebm.samplers.gibbs import GibbsConfig
from ebm.samplers.hmc import HMCConfig
from ebm.samplers.langevin import LangevinConfig
from ebm.samplers.mala import MALAConfig
from ebm.samplers.metropolis import MetropolisConfig
from ebm.types import EnergyFn, LossOutput, Sampler

# Annealed sampling needs noise levels, which the energies that contrastive divergence trains do not have; replica
# exchange, hot copies that outlive the batch.
ChainConfig = Annotated[
    LangevinConfig | MALAConfig | MetropolisConfig | HMCConfig | GibbsConfig, Field(discriminator="kind")
]


def unwrapped(energy: nn.Module) -> nn.Module:
    """The module inside a launcher's wrapper, which is what chains must run on (no gradient synchronisation)."""
    return getattr(energy, "module", energy)


def run_chains(energy: EnergyFn, sampler: Sampler, x: Tensor, n_steps: int, generator: Generator) -> Tensor:
    """Move x (B, ...) by n_steps of the sampler. The answer carries no gradient: CD drops the chain's own derivative
    (Hinton 2002, section 3)."""
    for _ in range(n_steps):
        x, _ = sampler.step(energy, x, generator)
    return x.detach()


def contrastive_loss(energy: nn.Module, data: Tensor, negatives: Tensor, l2: float) -> LossOutput:
    """mean E(data) - mean E(negatives) + l2 * mean(E(data)^2 + E(negatives)^2).

    Its gradient without the last term is the (biased) gradient of the negative log-likelihood; the last term keeps the
    energies from drifting (Du and Mordatch 2019, section 3.3). One forward pass on cat(data, negatives). Of the
    metrics, `cd` is the first two terms and `reg` the last, which add up to the loss.
    """
    energies = energy(torch.cat([data, negatives]))
    real, fake = energies[: len(data)], energies[len(data) :]
    cd = real.mean() - fake.mean()
    reg = l2 * (real.square().mean() + fake.square().mean())
    parts = {"cd": float(cd.detach()), "reg": float(reg.detach())}
    return LossOutput(cd + reg if l2 else cd, parts | figures(energies, len(data)))


def figures(energies: Tensor, n: int) -> dict[str, float]:
    """For the log, of energies (2n,) of n data and n negatives: their means, the gap between, and the spread of all."""
    energies = energies.detach()
    real, fake = energies[:n], energies[n:]
    return {
        "real": float(real.mean()),
        "fake": float(fake.mean()),
        "gap": float(fake.mean() - real.mean()),
        "spread": float(energies.std()),
    }


def saturation(x: Tensor, box: tuple[float, float] | None) -> float:
    """Share of coordinates that sit on the sampler's box; near 1 the chains have run away."""
    if box is None:
        return 0.0
    return float(((x <= box[0]) | (x >= box[1])).float().mean())
