"""Noise-contrastive estimation: data told from noise of known density, which also gives log Z."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from ebm.config import Frozen
from ebm.energies import log_z as learnt
from ebm.objectives.noise import GaussianNoiseConfig, Noise, NoiseConfig, fitted
from ebm.types import LossOutput


class NCEConfig(Frozen):
    """`noise`: what data are told from; `nu`: noise rows to a data row; `rate`: of log Z, in that of the energy."""

    kind: Literal["nce"] = "nce"
    noise: NoiseConfig = GaussianNoiseConfig()
    nu: int = Field(default=4, ge=1)
    rate: float = Field(default=1.0, gt=0)

    def build(self) -> NoiseContrastive:
        return NoiseContrastive(self.noise, self.nu, self.rate)


class NoiseContrastive:
    """mean softplus(-h(x)) + nu mean softplus(h(y)), h = -E - log Z - log q - log nu, y ~ q: nu of them to a row x.

    Logistic regression of data against noise of density q, where the model is log p(x) = -E(x) - log Z and log Z is one
    parameter more (c = -log Z in Gutmann and Hyvarinen 2010 and 2012, eq. 8). At the optimum p is the data's density,
    normalised without any integral; with more noise the estimate nears that of maximum likelihood. q must be large
    wherever p is, and near p, else the two are told apart at a glance and nothing is learnt: for rows of few columns.

    `partner` holds log Z and the noise, both set by `prepare`; `conclude` leaves log Z in the energy
    (`ebm.energies.log_z`), solved once more for its averaged weights. Called with an energy, x (B, ...) and a
    generator.
    """

    def __init__(self, noise: NoiseConfig, nu: int = 4, rate: float = 1.0):
        self.noise, self.nu, self.partner_rate = noise, nu, rate
        self.partner: Constant | None = None

    @torch.no_grad()
    def prepare(self, energy: Any, x: Tensor, generator: Generator) -> None:
        """Fits the noise to x (N, ...), and starts log Z where this energy has it."""
        self.partner = Constant(fitted(self.noise, x.flatten(1), generator).to(x.device))
        self.rows, self.generator = x, generator
        self.partner.log_z.fill_(self._solved(energy))

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        partner = self._prepared()
        with torch.no_grad():
            noise = partner.noise.sample(self.nu * len(x), generator).reshape(-1, *x.shape[1:])
            both = torch.cat([x, noise])
            log_q = partner.noise.log_prob(both.flatten(1))
        energies = energy(both)
        loss = logistic_loss(-energies - partner.log_z - log_q, len(x))
        return LossOutput(loss, both_figures(energies, len(x)) | {"log_z": float(partner.log_z.detach())})

    def conclude(self, energy: nn.Module) -> None:
        """log Z of the averaged weights, into the energy."""
        learnt.keep(energy, self._solved(energy))

    @torch.no_grad()
    def _solved(self, energy: Any) -> float:
        partner, x = self._prepared(), self.rows
        noise = partner.noise.sample(self.nu * len(x), self.generator).reshape(-1, *x.shape[1:])
        ratios = [
            torch.cat([-energy(part) - partner.noise.log_prob(part.flatten(1)) for part in rows.split(2048)])
            for rows in (x, noise)
        ]
        return solve_log_z(*ratios)

    def _prepared(self) -> Constant:
        if self.partner is None:
            raise RuntimeError("call prepare first")
        return self.partner

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # the partner holds all there is


class Constant(nn.Module):
    """log Z and the noise it was learnt against."""

    def __init__(self, noise: Noise):
        super().__init__()
        self.noise = noise
        self.log_z = nn.Parameter(torch.zeros((), device=next(noise.buffers()).device))


def logistic_loss(log_ratios: Tensor, n: int) -> Tensor:
    """mean softplus(-h) of the first n of log p / q, h = log p / q - log nu, + nu mean softplus(h) of the others; nu is
    how many times more of these there are."""
    nu = (len(log_ratios) - n) / n
    h = log_ratios - torch.log(log_ratios.new_tensor(nu))
    return F.softplus(-h[:n]).mean() + nu * F.softplus(h[n:]).mean()


def solve_log_z(data: Tensor, noise: Tensor) -> float:
    """The log Z that minimises the logistic loss with the energy as it is, of -E - log q (n,) and (nu n,) at data and
    noise. Its zero gradient, sum of sigma(-h) over data = sum of sigma(h) over noise, falls in log Z: halving."""
    data, noise = data.double(), noise.double()
    shift = torch.log(torch.tensor(len(noise) / len(data), dtype=torch.float64, device=data.device))
    low, high = (float(f(torch.stack([f(data), f(noise)]))) for f in (torch.min, torch.max))
    low, high = low - 50, high + 50
    while high - low > 1e-6:
        middle = (low + high) / 2
        above = torch.sigmoid(noise - middle - shift).sum() > torch.sigmoid(middle + shift - data).sum()
        low, high = (middle, high) if above else (low, middle)
    return (low + high) / 2


def both_figures(energies: Tensor, n: int) -> dict[str, float]:
    """As `ebm.objectives.chains.figures`, of n data rows and any number of others."""
    energies = energies.detach()
    real, fake = float(energies[:n].mean()), float(energies[n:].mean())
    return {"real": real, "fake": fake, "gap": fake - real, "spread": float(energies.std())}
