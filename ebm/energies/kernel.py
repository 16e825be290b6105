"""The kernel (Parzen) energy: no training, and hard to beat on small data."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.base import sigma_column
from ebm.errors import BadInput


class KernelConfig(Frozen):
    """`bandwidth`: h^2 as a multiple of the median squared distance to the nearest neighbour (`neighbour` = 1).

    `adaptive` = alpha: h_i^2 = h^2 (r_i / median r)^alpha with r_i the squared distance of training row i to its
    `neighbour`-th neighbour, floored at .05 median r; alpha = 0 gives every row the same bandwidth.
    """

    kind: Literal["kernel"] = "kernel"
    offers: ClassVar[frozenset[str]] = frozenset({"fitted", "fitted_only"})
    bandwidth: float = Field(default=1.0, gt=0)
    neighbour: int = Field(default=1, ge=1)
    adaptive: float = Field(default=0.0, ge=0)

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return KernelEnergy(shape, self)


class KernelEnergy(nn.Module):
    """E(x, sigma) = -log sum_i exp(-|x - x_i|^2 / (2 (h_i^2 + sigma^2))) + log n + (d/2) log((h~^2 + sigma^2) / h~^2).

    With one bandwidth this is minus the log density of Parzen (1962) up to a constant, it is the exact optimum of
    denoising score matching at noise h (Vincent 2011), and adding noise sigma to x only widens the kernels. With
    adaptive bandwidths the kernels keep equal height, not equal mass: rows in sparse regions then count as normal over
    a wider neighbourhood (`h~` is the median bandwidth). x is (B, *shape), flattened; sigma (B,), a float or None (0).

    Raises:
        BadInput: `fit` got fewer than `neighbour` + 1 rows, or the energy is used before `fit`.
    """

    noise_conditional = True
    centres: Tensor
    squared_bandwidths: Tensor

    def __init__(self, shape: tuple[int, ...], config: KernelConfig):
        super().__init__()
        self.config = config
        self.dim = math.prod(shape)
        self.register_buffer("centres", torch.zeros(0, self.dim))
        self.register_buffer("squared_bandwidths", torch.zeros(0))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Keep the rows x (N, *shape) as centres and set their bandwidths."""
        flat, k = x.flatten(1), self.config.neighbour
        if len(flat) < k + 1:
            raise BadInput(f"the kernel energy needs at least {k + 1} training rows, got {len(flat)}")
        # Row i itself is at distance 0 and comes first. Chunks bound the memory.
        r = torch.cat(
            [
                squared_distances(part, flat).topk(k + 1, largest=False).values[:, -1]
                for part in flat.split(512)
            ]
        )
        # Duplicates make neighbour distances 0: floor by a small share of the data's own spread.
        spread = (flat - flat.mean(0)).square().mean() * self.dim
        typical = torch.maximum(r.median(), 1e-3 * spread).clamp_min(1e-12)
        self.centres = flat.clone()
        self.squared_bandwidths = (
            self.config.bandwidth * typical * (r.clamp_min(0.05 * typical) / typical) ** self.config.adaptive
        )

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        if len(self.centres) == 0:
            raise BadInput("the kernel energy has no training rows: call fit first")
        flat = x.flatten(1)
        noise = sigma_column(sigma, flat).square()
        log_kernels = -squared_distances(flat, self.centres) / (2 * (self.squared_bandwidths + noise))
        typical = self.squared_bandwidths.median()
        widening = 0.5 * self.dim * ((typical + noise) / typical).log().squeeze(1)
        return -torch.logsumexp(log_kernels, 1) + math.log(len(self.centres)) + widening

    @torch.no_grad()
    def leave_one_out(self, x: Tensor, own: Tensor, sigma: float | None = None) -> Tensor:
        """(n,) energies of rows x (n, *shape), each without the kernel of the fitted row `own` (n,) that it is."""
        noise = (sigma or 0.0) ** 2
        typical = self.squared_bandwidths.median()
        parts = []
        for part, mine in zip(x.flatten(1).split(512), own.split(512), strict=True):
            log_kernels = -squared_distances(part, self.centres) / (2 * (self.squared_bandwidths + noise))
            log_kernels[torch.arange(len(part)), mine] = -torch.inf
            parts.append(-torch.logsumexp(log_kernels, 1))
        widening = 0.5 * self.dim * ((typical + noise) / typical).log()
        return torch.cat(parts) + math.log(len(self.centres) - 1) + widening

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The number of centres is the data's, so buffers take the stored size before they are filled.
        for name in ("centres", "squared_bandwidths"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, stored.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_j|^2 as (len(a), len(b)), by a^2 + b^2 - 2ab around b's mean to keep float32 digits."""
    centre = b.mean(0)
    a, b = a - centre, b - centre
    return (a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T).clamp_min(0)
