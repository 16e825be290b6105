"""An energy by likeness to training rows in a learnt space of features."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.base import IsotropicBase
from ebm.energies.body import ConvBody, MLPBody
from ebm.errors import BadInput

Width = Annotated[int, Field(ge=1)]
SHARPNESS = 10.0  # of the bend beyond the furthest training row


class EmbeddingConfig(Frozen):
    """`dim` features on the unit sphere; `width`, `depth`: of a perceptron for rows; `widths`: of convolutions for
    images; `temperature`: of the kernel; `n_bank`: training rows that are kept; `base`: a term that grows beyond
    them, or none."""

    kind: Literal["embedding"] = "embedding"
    offers: ClassVar[frozenset[str]] = frozenset({"embedding"})
    dim: int = Field(default=32, ge=2)
    width: Width = 128
    depth: Width = 3
    widths: tuple[Width, ...] = Field(default=(32, 64, 64), min_length=1)
    temperature: float = Field(default=0.1, gt=0)
    n_bank: int = Field(default=1024, ge=1)
    base: Literal["none", "far"] = "far"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return EmbeddingEnergy(shape, self)


class EmbeddingEnergy(nn.Module):
    """E(x) = -T log mean_i exp(phi(x) . phi(x_i) / T) + far(x), phi(x) = g(x) / |g(x)|, x_i a bank of training rows.

    Minus T times the log of a kernel density on the unit sphere (von Mises-Fisher kernels), between -1 (a bank row's
    twin) and 1. phi is trained by objective `info_nce`, which pulls two views of a row together and all else apart; a
    row unlike all the bank is anomalous, as in the scores of Tack et al. 2020 (CSI), which take the single nearest.

    The sphere has no far away: far(x) = softplus(10 (r - 1)) / 10, r = |x - m|^2 over its largest value in training,
    next to nothing among the training rows, grows beyond them. x is (B, *shape); the answer is (B,).

    Raises:
        BadInput: the energy is used before `fit`.
    """

    bank: Tensor
    furthest: Tensor

    def __init__(self, shape: tuple[int, ...], config: EmbeddingConfig):
        super().__init__()
        self.shape, self.config = shape, config
        self.scale = IsotropicBase(math.prod(shape))
        self.body: nn.Module = (
            ConvBody(shape[0], config.dim, config.widths, False)
            if len(shape) == 3
            else MLPBody(self.scale.dim, config.dim, config.width, config.depth, False)
        )
        self.register_buffer("bank", torch.zeros(0, config.dim))
        self.register_buffer("furthest", torch.ones(()))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Scale and distances from x (N, *shape), and a bank by the features as they are."""
        flat = x.flatten(1)
        self.scale.fit(flat)
        self.furthest.copy_((flat - self.scale.mean).square().sum(1).max().clamp_min(1e-6))
        self.settle(x)

    @torch.no_grad()
    def settle(self, x: Tensor) -> None:
        """After a stage of training: the bank anew, of `n_bank` rows evenly spaced among x (N, *shape)."""
        rows = x[torch.linspace(0, len(x) - 1, min(len(x), self.config.n_bank)).long()]
        self.bank = torch.cat([self.embed(part) for part in rows.split(512)])

    def embed(self, x: Tensor) -> Tensor:
        """phi(x), (B, dim), of length one."""
        normalised = (x.flatten(1) - self.scale.mean) / self.scale.variance.sqrt()
        given = normalised.reshape(-1, *self.shape) if len(self.shape) == 3 else normalised
        return F.normalize(self.body(given, None), dim=1)

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        del sigma  # of noiseless data only
        if len(self.bank) == 0:
            raise BadInput("the embedding energy has no training rows: call fit first")
        t = self.config.temperature
        # Not a matrix product, which rounds a row differently with the number of rows beside it.
        alike = torch.einsum("bk,nk->bn", self.embed(x), self.bank)
        energy = t * (math.log(len(self.bank)) - torch.logsumexp(alike / t, 1))
        if self.config.base == "none":
            return energy
        far = (x.flatten(1) - self.scale.mean).square().sum(1) / self.furthest
        return energy + F.softplus(SHARPNESS * (far - 1)) / SHARPNESS

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The number of rows in the bank is the data's, so the buffer takes the stored size before it is filled.
        stored = state_dict.get(prefix + "bank")
        if stored is not None and stored.dim() == 2 and stored.shape[1] == self.config.dim:
            self.bank = self.bank.new_empty(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
