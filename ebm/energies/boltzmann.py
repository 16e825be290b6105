"""The general Boltzmann machine: units of each side are coupled among themselves, too."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from ebm.config import Frozen
from ebm.energies.binary_units import bernoulli, binary_states, smoothed_logit, surprise
from ebm.energies.rbm import INIT_SD

MAX_HIDDEN = 12  # their 2^m states are enumerated for every row


class BoltzmannConfig(Frozen):
    """`n_hidden` binary hidden units, at most 12, for all their states are summed; 0 for a machine of visible units
    alone (the Ising model)."""

    kind: Literal["boltzmann"] = "boltzmann"
    offers: ClassVar[frozenset[str]] = frozenset({"hidden_units", "binary"})
    n_hidden: int = Field(default=8, ge=0, le=MAX_HIDDEN)

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return BoltzmannMachine(shape, self.n_hidden)


class BoltzmannMachine(nn.Module):
    """E(v, h) = -v'Lv / 2 - h'Jh / 2 - v'Wh - b'v - c'h of v in {0, 1}^d and h in {0, 1}^m; L, J symmetric with zeros
    on their diagonals. The energy of v is the free energy F(v) = -log sum_h exp(-E(v, h)), by enumeration of h.

    Gibbs sampling draws all of h given v (by the same enumeration: the hidden units depend on each other), then the
    visible units one by one, v_i ~ sigmoid(b_i + L_i v + W_i h), each given the others as they are by then.

    v is (B, *shape), flattened; the energy (B,). weight (d, m), visible_bias (d,), hidden_bias (m,). Of
    visible_coupling (d, d) and hidden_coupling (m, m) only what lies above the diagonal is used, for both triangles.

    Source: Ackley, Hinton and Sejnowski (1985).
    """

    noise_conditional: ClassVar[bool] = False

    def __init__(self, shape: tuple[int, ...], n_hidden: int):
        super().__init__()
        self.shape, self.n_hidden = shape, n_hidden
        d = math.prod(shape)
        self.weight = nn.Parameter(INIT_SD * torch.randn(d, n_hidden))
        self.visible_coupling = nn.Parameter(torch.zeros(d, d))
        self.hidden_coupling = nn.Parameter(torch.zeros(n_hidden, n_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(d))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Visible biases at which units without couplings have the means of x (N, ...), as in `ebm.energies.rbm`."""
        self.visible_bias.copy_(smoothed_logit(x.flatten(1)))

    def hidden_logits(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """All states of h (2^m, m), and h'Jh / 2 + v'Wh + c'h of each with rows v (B, ...): (B, 2^m)."""
        states = binary_states(self.n_hidden, like=v)
        own = 0.5 * ((states @ symmetric(self.hidden_coupling)) * states).sum(1) + states @ self.hidden_bias
        return states, (v.flatten(1) @ self.weight) @ states.T + own

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        del sigma  # of noiseless rows only
        v = x.flatten(1)
        own = 0.5 * ((v @ symmetric(self.visible_coupling)) * v).sum(1) + v @ self.visible_bias
        return -own - self.hidden_logits(v)[1].logsumexp(1)

    @torch.no_grad()
    def gibbs(self, x: Tensor, generator: Generator) -> Tensor:
        """One sweep: h given x (B, *shape), then each visible unit in turn; of x's shape."""
        v = x.flatten(1).clone()
        states, logits = self.hidden_logits(v)
        h = states[torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)]
        coupling = symmetric(self.visible_coupling)
        total = self.visible_bias + v @ coupling + h @ self.weight.T
        for i in range(v.shape[1]):
            new = bernoulli(torch.sigmoid(total[:, i]), generator)
            total += (new - v[:, i])[:, None] * coupling[i]
            v[:, i] = new
        return v.reshape(x.shape)

    def encode(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, d): what each visible unit gets from all others, hidden ones by their means."""
        v = x.flatten(1)
        states, logits = self.hidden_logits(v)
        hidden = logits.softmax(1) @ states
        return self.visible_bias + v @ symmetric(self.visible_coupling) + hidden @ self.weight.T

    def decode(self, code: Tensor) -> Tensor:
        """(B, d) -> (B, *shape): probabilities. decode(encode(x)) is what the machine makes of x."""
        return torch.sigmoid(code).reshape(-1, *self.shape)

    @torch.no_grad()
    def local_energies(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        """(B, H, W) of images: -log p(x_i | all others), summed over channels."""
        del sigma
        return surprise(self, x).sum(1)

    def admissible(self, x: Tensor) -> Tensor:
        """The row of zeros and ones nearest to x."""
        return (x >= 0.5).to(x.dtype)


def symmetric(coupling: Tensor) -> Tensor:
    """What lies above the diagonal of coupling (n, n), in both triangles; zeros on the diagonal."""
    upper = coupling.triu(1)
    return upper + upper.T
