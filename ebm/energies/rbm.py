"""The restricted Boltzmann machine: binary hidden units, summed out; binary or Gaussian visible ones."""

from __future__ import annotations

import copy
import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from ebm.config import Frozen
from ebm.energies.binary_units import bernoulli, smoothed_logit, surprise

INIT_SD = 0.01  # of the weights (Hinton 2012, section 8)


class RBMConfig(Frozen):
    """`n_hidden` binary hidden units; `visible`: binary for rows of zeros and ones, gaussian for real ones."""

    kind: Literal["rbm"] = "rbm"
    n_hidden: int = Field(default=64, ge=1)
    visible: Literal["binary", "gaussian"] = "binary"

    @property
    def offers(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]  # it depends on `visible`
        return frozenset({"hidden_units", "binary"} if self.visible == "binary" else {"hidden_units"})

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return RestrictedBoltzmannMachine(shape, self.n_hidden, self.visible)


class RestrictedBoltzmannMachine(nn.Module):
    """The free energy F(v) = -log sum_h exp(-E(v, h)) over hidden units h in {0, 1}^m, exactly.

    Binary v in {0, 1}^d: E(v, h) = -b'v - c'h - v'W h, hence F(v) = -b'v - sum_j softplus(c_j + v'W_j).
    Gaussian v in R^d: E(v, h) = sum_i (v_i - b_i)^2 / (2 s_i^2) - c'h - (v / s^2)'W h, hence
    F(v) = sum_i (v_i - b_i)^2 / (2 s_i^2) - sum_j softplus(c_j + (v / s^2)'W_j); log s^2 is learned too.

    Given v the hidden units are independent, p(h_j = 1 | v) = sigmoid(c_j + v'W_j) (v / s^2 for v where Gaussian), and
    given h the visible ones: p(v_i = 1 | h) = sigmoid(b_i + W_i h), or N(b_i + W_i h, s_i^2). Block Gibbs sampling
    draws each side given the other. Trained by the free energy's difference, CD-k is Hinton's with h summed out.

    v is (B, *shape), flattened; h (B, m); the energy (B,). weight (d, m), visible_bias (d,), hidden_bias (m,), and
    where Gaussian log_variance (d,). Binary F answers for any real v, as its formula goes on.

    Source: Smolensky (1986); Hinton (2002, 2012); Gaussian units in the form of Cho, Ilin and Raiko (2011).
    """

    noise_conditional: ClassVar[bool] = False

    def __init__(self, shape: tuple[int, ...], n_hidden: int, visible: str = "binary"):
        super().__init__()
        self.shape, self.n_hidden, self.visible = shape, n_hidden, visible
        n_visible = math.prod(shape)
        self.weight = nn.Parameter(INIT_SD * torch.randn(n_visible, n_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(n_visible))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden))
        if visible == "gaussian":
            self.log_variance = nn.Parameter(torch.zeros(n_visible))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Visible biases (and variances) at which the units without weights have the means (and variances) of x
        (N, ...): b = log(p / (1 - p)) of binary units (Hinton 2012, section 8), p smoothed by one row of each."""
        v = x.flatten(1)
        if self.visible == "gaussian":
            self.visible_bias.copy_(v.mean(0))
            self.log_variance.copy_(v.var(0, correction=0).clamp_min(1e-4).log())
            return
        self.visible_bias.copy_(smoothed_logit(v))

    def hidden_input(self, v: Tensor) -> Tensor:
        """(B, ...) -> (B, m): the logits of the hidden units."""
        v = v.flatten(1)
        if self.visible == "gaussian":
            v = v * torch.exp(-self.log_variance)
        return self.hidden_bias + v @ self.weight

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        del sigma  # of noiseless rows only
        v = x.flatten(1)
        if self.visible == "gaussian":
            own = 0.5 * ((v - self.visible_bias).square() * torch.exp(-self.log_variance)).sum(1)
        else:
            own = -(v @ self.visible_bias)
        return own - F.softplus(self.hidden_input(v)).sum(1)

    def joint_energy(self, v: Tensor, h: Tensor) -> Tensor:
        """E(v, h) of v (B, ...) and h (B, m), (B,)."""
        v = v.flatten(1)
        if self.visible == "gaussian":
            own = 0.5 * ((v - self.visible_bias).square() * torch.exp(-self.log_variance)).sum(1)
        else:
            own = -(v @ self.visible_bias)
        return own - (self.hidden_input(v) * h).sum(1)

    def hidden_probabilities(self, v: Tensor) -> Tensor:
        """p(h_j = 1 | v), (B, m)."""
        return torch.sigmoid(self.hidden_input(v))

    def visible_mean(self, h: Tensor) -> Tensor:
        """E[v | h], (B, d): probabilities where binary."""
        total = self.visible_bias + h @ self.weight.T
        return total if self.visible == "gaussian" else torch.sigmoid(total)

    def sample_hidden(self, v: Tensor, generator: Generator) -> Tensor:
        """h ~ p(h | v), (B, m)."""
        return bernoulli(self.hidden_probabilities(v), generator)

    def sample_visible(self, h: Tensor, generator: Generator) -> Tensor:
        """v ~ p(v | h), (B, d)."""
        mean = self.visible_mean(h)
        if self.visible == "binary":
            return bernoulli(mean, generator)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        return mean + torch.exp(0.5 * self.log_variance) * noise

    @torch.no_grad()
    def gibbs(self, x: Tensor, generator: Generator) -> Tensor:
        """One sweep: h given x (B, *shape), then x given h; of x's shape."""
        return self.sample_visible(self.sample_hidden(x, generator), generator).reshape(x.shape)

    def encode(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, m): the hidden units' probabilities."""
        return self.hidden_probabilities(x)

    def decode(self, code: Tensor) -> Tensor:
        """(B, m) -> (B, *shape): the visible units' means. decode(encode(x)) is what the machine makes of x."""
        return self.visible_mean(code).reshape(-1, *self.shape)

    @torch.no_grad()
    def local_energies(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        """(B, H, W) of images: how little each pixel is expected, summed over channels: -log p(x_i | all others), or
        of Gaussian units (x_i - m_i)^2 / (2 s_i^2), m = decode(encode(x))."""
        del sigma
        if self.visible == "binary":
            return surprise(self, x).sum(1)
        off = (x - self.decode(self.encode(x))).flatten(1).square() * torch.exp(-self.log_variance)
        return 0.5 * off.reshape(x.shape).sum(1)

    def admissible(self, x: Tensor) -> Tensor:
        """The row of this energy's space nearest to x: zeros and ones where binary."""
        return (x >= 0.5).to(x.dtype) if self.visible == "binary" else x

    @torch.no_grad()
    def interpolated(self, beta: float, base_bias: Tensor) -> RestrictedBoltzmannMachine:
        """The machine of weights beta W, hidden biases beta c, visible biases (1 - beta) base_bias + beta b.

        From independent units (beta = 0), whose log Z is sum_i softplus(base_bias_i) + m log 2 (of Gaussian ones
        sum_i log(2 pi s_i^2) / 2 + m log 2), to this machine (beta = 1): the path of annealed importance sampling
        (Salakhutdinov and Murray 2008). Variances are this machine's all along. base_bias is (d,).
        """
        other = copy.deepcopy(self).requires_grad_(False)
        other.weight.mul_(beta)
        other.hidden_bias.mul_(beta)
        other.visible_bias.mul_(beta).add_((1 - beta) * base_bias)
        return other
