"""The deep belief network: restricted Boltzmann machines on top of each other, of which the last alone stays one."""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Generator, Tensor, nn

from ebm.config import Frozen
from ebm.energies.binary_units import surprise
from ebm.energies.rbm import RestrictedBoltzmannMachine


class DBNConfig(Frozen):
    """`hidden`: the sizes of the hidden layers, from the lowest. `n_draws`: fixed draws that the bound is a mean over.
    `sweeps`: of the top machine in one step of sampling."""

    kind: Literal["dbn"] = "dbn"
    offers: ClassVar[frozenset[str]] = frozenset({"hidden_units", "binary", "layers"})
    hidden: tuple[PositiveInt, ...] = Field(default=(64, 64), min_length=1, max_length=6)
    n_draws: int = Field(default=16, ge=1)
    sweeps: int = Field(default=5, ge=1)

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return DeepBeliefNetwork(shape, self.hidden, self.n_draws, self.sweeps)


class DeepBeliefNetwork(nn.Module):
    """p(v, h_1, ..., h_L) = p(v | h_1) ... p(h_L-2 | h_L-1) p(h_L-1, h_L): directed layers below, on top an RBM.

    The energy is minus a lower bound on the unnormalised log-likelihood (Z being the top machine's): with h_k drawn in
    turn from q(h_k | h_k-1) = sigmoid(c_k + h_k-1 W_k), the way up of each layer's machine, and F the top free energy,

        E(v) = mean over draws of sum_k [log q(h_k | h_k-1) - log p(h_k-1 | h_k)] + F(h_L-1),  h_0 = v, k < L.

    Its expectation is at least -log p*(v) by Jensen's inequality, and equal where q is the true posterior, for every
    single draw. The uniform numbers behind the draws are drawn once, when the network is made, and stored with it: the
    energy is a fixed function, of each row by itself. A network of one layer is its RBM, exactly.

    x is (B, *shape) of zeros and ones; the energy (B,). `layers[k]` is the machine of layer k + 1, of k - 1's units.
    Trained layer by layer, by objective `greedy`. A step of `gibbs` is not exact where q is not the posterior.

    Source: Hinton, Osindero and Teh (2006); the bound with a Z, Salakhutdinov and Murray (2008).
    """

    noise_conditional: ClassVar[bool] = False
    draws: Tensor

    def __init__(self, shape: tuple[int, ...], hidden: tuple[int, ...], n_draws: int = 16, sweeps: int = 5):
        super().__init__()
        self.shape, self.sweeps = shape, sweeps
        below = [shape, *((n,) for n in hidden[:-1])]
        self.layers = nn.ModuleList(
            RestrictedBoltzmannMachine(size, n) for size, n in zip(below, hidden, strict=True)
        )
        self.register_buffer("draws", torch.rand(n_draws, sum(hidden[:-1])))

    def layer(self, k: int) -> RestrictedBoltzmannMachine:
        """The machine of layer k + 1."""
        return cast(RestrictedBoltzmannMachine, self.layers[k])

    def fit(self, x: Tensor) -> None:
        """The lowest machine's visible biases, from x (N, ...)."""
        self.layer(0).fit(x)

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        del sigma  # of noiseless rows only
        v = x.flatten(1)
        below = v.expand(len(self.draws), *v.shape)  # (S, B, d)
        total = x.new_zeros(below.shape[:2])
        first = 0
        for k in range(len(self.layers) - 1):
            machine = self.layer(k)
            up = machine.hidden_bias + below @ machine.weight
            uniform = self.draws[:, None, first : first + machine.n_hidden]
            h = (uniform < torch.sigmoid(up)).to(v.dtype)
            down = machine.visible_bias + h @ machine.weight.T
            total = total + log_bernoulli(h, up) - log_bernoulli(below, down)
            below, first = h, first + machine.n_hidden
        top = self.layer(len(self.layers) - 1)
        if len(self.layers) == 1:
            return top(v)
        return (total + top(below.flatten(0, 1)).reshape(total.shape)).mean(0)

    def up(self, x: Tensor, layer: int, generator: Generator | None = None) -> Tensor:
        """Units below machine `layer` (from 0), (B, n): drawn layer by layer, or probabilities without a generator."""
        h = x.flatten(1)
        for k in range(layer):
            machine = self.layer(k)
            h = machine.hidden_probabilities(h) if generator is None else machine.sample_hidden(h, generator)
        return h

    def down(self, h: Tensor, generator: Generator | None = None) -> Tensor:
        """Visible rows (B, *shape) of the top machine's visible units h (B, n)."""
        for k in reversed(range(len(self.layers) - 1)):
            machine = self.layer(k)
            h = machine.visible_mean(h) if generator is None else machine.sample_visible(h, generator)
        return h.reshape(-1, *self.shape)

    @torch.no_grad()
    def gibbs(self, x: Tensor, generator: Generator) -> Tensor:
        """Up, `sweeps` of the top machine, down: x (B, *shape) -> (B, *shape)."""
        top = len(self.layers) - 1
        h = self.up(x, top, generator)
        for _ in range(self.sweeps):
            h = self.layer(top).gibbs(h, generator)
        return self.down(h, generator)

    def encode(self, x: Tensor) -> Tensor:
        """(B, *shape) -> probabilities of the topmost units."""
        return self.up(x, len(self.layers))

    def decode(self, code: Tensor) -> Tensor:
        """Topmost units -> means of the visible ones, (B, *shape)."""
        return self.down(self.layer(len(self.layers) - 1).visible_mean(code))

    @torch.no_grad()
    def local_energies(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        """(B, H, W) of images: -log p(x_i | all others) by this energy, summed over channels."""
        del sigma
        return surprise(self, x).sum(1)

    def admissible(self, x: Tensor) -> Tensor:
        """The row of zeros and ones nearest to x."""
        return (x >= 0.5).to(x.dtype)


def log_bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x) summed over the last axis, of units with these logits: (..., n) -> (...)."""
    return (x * logits - F.softplus(logits)).sum(-1)
