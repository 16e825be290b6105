"""Whether noise looks less normal than data held out: the first thing that an energy gone wrong fails."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from ebm.types import EnergyFn

KINDS = ("uniform", "gaussian", "shuffled")
ROWS = 256  # of each kind: enough to tell an AUROC of .4 from chance
SURE = 3.0  # standard errors below chance from which a warning is given


@dataclass(frozen=True)
class NoiseCheck:
    """Energies (N,) of held-out rows ("data") and of each kind of noise, by name."""

    energies: dict[str, np.ndarray]

    @property
    def aurocs(self) -> dict[str, float]:
        """Of each kind of noise against the data: P(E(noise) > E(data)), ties for half. NaN where an energy is."""
        data = self.energies["data"]
        return {k: _auroc(e, data) for k, e in self.energies.items() if k != "data"}

    def figures(self) -> dict[str, float]:
        """For the log: mean energies as "noise/data", "noise/uniform", ..., and "noise/uniform_auroc", ...; what is not
        finite is left out."""
        found = {f"noise/{k}": float(e.astype(np.float64).mean()) for k, e in self.energies.items()}
        found |= {f"noise/{k}_auroc": value for k, value in self.aurocs.items()}
        return {k: value for k, value in found.items() if math.isfinite(value)}

    def notes(self) -> tuple[str, ...]:
        """A warning where noise looks more normal than the data do, by more than chance; else nothing."""
        n = len(self.energies["data"])
        error = math.sqrt((2 * n + 1) / (12 * n * n)) if n else math.inf  # of an AUROC without any difference
        bad = {k: value for k, value in self.aurocs.items() if not value >= 0.5 - SURE * error}
        if not bad:
            return ()
        said = ", ".join(f"{k} noise (AUROC {value:.2f})" for k, value in bad.items())
        return (f"noise check: to this model, {said} looks more normal than held-out data do",)


def check_noise(energy: EnergyFn, x: Tensor, *, seed: int = 0) -> NoiseCheck:
    """The energy's answers on held-out rows x (N, ...) in model space, and on as many of `noise_like` them."""
    x = x[:: max(1, -(-len(x) // ROWS))] if len(x) else x
    kinds = {"data": x, **noise_like(x, Generator(x.device).manual_seed(seed))}
    with torch.no_grad():
        found = {k: torch.cat([energy(part).float().cpu() for part in v.split(64)]) for k, v in kinds.items()}
    return NoiseCheck({k: v.numpy() for k, v in found.items()})


def noise_like(x: Tensor, generator: Generator) -> dict[str, Tensor]:
    """Rows of noise as many, as large and as wide as x (N, ...).

    uniform: between the least and the largest value. gaussian: of x's mean and standard deviation. For images these are
    of all pixels together, and the noise is clamped to their range; for tables each column has its own.
    shuffled: an image's own pixels in random order; of a table each column in another order, which keeps what every
    column is like alone and nothing of how they go together. A single column has no such thing.
    Where x holds only zeros and ones, the noise is rounded to them.
    """
    images, n = x.dim() == 4, len(x)
    if images:
        low, high = (x.amin(), x.amax()) if n else (x.new_tensor(-1.0), x.new_tensor(1.0))
        mean, sd = x.mean(), x.std(correction=0)
    else:
        low, high, mean, sd = x.amin(0), x.amax(0), x.mean(0), x.std(0, correction=0)
    chance = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    normal = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    uniform, gaussian = low + (high - low) * chance, mean + sd * normal
    if images:
        gaussian = gaussian.clamp(low, high)
    bits = ((x == 0) | (x == 1)).all(0)
    bits = bits.all() if images else bits
    found = {
        k: torch.where(bits, (v > 0.5).to(v), v) for k, v in (("uniform", uniform), ("gaussian", gaussian))
    }
    order = torch.rand(x.shape, generator=generator, device=x.device)
    if images:
        pixels = order[:, :1].flatten(2).argsort(2).expand(-1, x.shape[1], -1)  # colours stay together
        found["shuffled"] = x.flatten(2).gather(2, pixels).view_as(x)
    elif x[0].numel() > 1:
        found["shuffled"] = x.gather(0, order.argsort(0))
    return found


def _auroc(noise: np.ndarray, data: np.ndarray) -> float:
    """As `ebm.evaluation.metrics.auroc`, of energies that may be infinite."""
    if np.isnan(noise).any() or np.isnan(data).any() or not len(data):
        return math.nan
    below = np.searchsorted(np.sort(data), noise, side="left").mean()
    upto = np.searchsorted(np.sort(data), noise, side="right").mean()
    return float((below + upto) / 2 / len(data))
