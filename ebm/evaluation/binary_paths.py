"""Paths from independent units, whose partition function is known: of machines with hidden units, and of any energy
of zeros and ones."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ebm.types import EnergyFn


@dataclass(eq=False)
class GibbsPath:
    """The path of a machine with hidden units and `gibbs`, in float64: all couplings and hidden biases times beta, and
    visible biases (1 - beta) base_bias + beta b (Salakhutdinov and Murray 2008). The base is beta = 0: independent
    visible units of bias `base_bias` (d,)."""

    machine: Any
    base_bias: Tensor
    n_moves: int = 1

    def __post_init__(self) -> None:
        self.machine = copy.deepcopy(self.machine).double().requires_grad_(False)
        self.base_bias = self.base_bias.to(self.machine.weight)
        if getattr(self.machine, "visible", "binary") == "gaussian":
            own = float(0.5 * (math.log(2 * math.pi) + self.machine.log_variance).sum())
        else:
            own = float(F.softplus(self.base_bias).sum())
        self.log_z_base = own + len(self.machine.hidden_bias) * math.log(2)
        self.reversible = hasattr(self.machine, "interpolated")  # others draw visible units one after another
        self._made: dict[float, Any] = {}

    def _at(self, beta: float) -> Any:
        # The same two temperatures are asked for several times in a row.
        if beta not in self._made:
            self._made = dict(list(self._made.items())[-1:])
            own = getattr(self.machine, "interpolated", None)
            self._made[beta] = self._scaled(beta) if own is None else own(beta, self.base_bias)
        return self._made[beta]

    @torch.no_grad()
    def _scaled(self, beta: float) -> Any:
        # E(v, h) is linear in the parameters of binary machines.
        other = copy.deepcopy(self.machine)
        for parameter in other.parameters():
            parameter.mul_(beta)
        other.visible_bias.add_((1 - beta) * self.base_bias)
        return other

    def start(self, n: int, generator: Generator) -> Tensor:
        # At beta = 0 the visible units do not depend on the hidden ones: one sweep from anywhere is an exact draw.
        nowhere = self.base_bias.new_zeros((n, *self.machine.shape))
        return self._at(0.0).gibbs(nowhere, generator)

    def enter(self, rows: Tensor) -> Tensor:
        return rows.to(self.base_bias)

    def change(self, x: Tensor, a: float, b: float) -> Tensor:
        return self._at(a)(x) - self._at(b)(x)

    def move(self, beta: float, x: Tensor, generator: Generator) -> Tensor:
        machine = self._at(beta)
        for _ in range(self.n_moves):
            x = machine.gibbs(x, generator)
        return x


@dataclass(eq=False)
class BinaryPath:
    """E_beta(x) = -(1 - beta) bias . x + beta E(x) for any energy of zeros and ones, moved by single flips.

    A sweep proposes to flip each coordinate in a random order, one energy of all chains each (Metropolis).
    """

    energy_of_rows: EnergyFn
    base_bias: Tensor
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        self.log_z_base, self.reversible = float(F.softplus(self.base_bias.double()).sum()), False

    def start(self, n: int, generator: Generator) -> Tensor:
        p = torch.sigmoid(self.base_bias).expand(n, -1)
        return torch.bernoulli(p, generator=generator).reshape(n, *self.shape)

    def enter(self, rows: Tensor) -> Tensor:
        return rows.to(self.base_bias)

    def energy(self, beta: float) -> EnergyFn:
        def at(x: Tensor, /) -> Tensor:
            own = -(x.flatten(1) @ self.base_bias)
            return own if beta == 0 else (1 - beta) * own + beta * self.energy_of_rows(x)

        return at

    def change(self, x: Tensor, a: float, b: float) -> Tensor:
        own, of_rows = -(x.flatten(1) @ self.base_bias), self.energy_of_rows(x)
        return (b - a) * (own.double() - of_rows.double())

    @torch.no_grad()
    def move(self, beta: float, x: Tensor, generator: Generator) -> Tensor:
        energy, flat = self.energy(beta), x.flatten(1).clone()
        now = energy(flat.reshape(x.shape))
        order = torch.randperm(flat.shape[1], generator=generator, device=x.device).tolist()
        for i in order:
            proposal = flat.clone()
            proposal[:, i] = 1 - proposal[:, i]
            new = energy(proposal.reshape(x.shape))
            uniform = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
            taken = uniform.log() < now - new
            flat, now = torch.where(taken[:, None], proposal, flat), torch.where(taken, new, now)
        return flat.reshape(x.shape)
