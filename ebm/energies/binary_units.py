"""What the energies of binary units share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ebm.types import EnergyFn


def smoothed_logit(v: Tensor) -> Tensor:
    """log(p / (1 - p)) of the mean of each column of v (N, d), as if one row of zeros and one of ones were added."""
    n = len(v)
    p = ((v.sum(0) + 1) / (n + 2)).clamp(1 / (n + 2), (n + 1) / (n + 2))
    return torch.logit(p)


def bernoulli(probabilities: Tensor, generator: Generator) -> Tensor:
    """Zeros and ones, of the shape and type of `probabilities`, without gradient."""
    p = probabilities.detach()
    return (torch.rand(p.shape, generator=generator, device=p.device, dtype=p.dtype) < p).to(p.dtype)


def binary_states(n: int, like: Tensor | None = None) -> Tensor:
    """All rows of {0, 1}^n in the order of counting, (2^n, n); of the type and on the device of `like`."""
    like = torch.zeros(()) if like is None else like
    codes = torch.arange(2**n, device=like.device)
    places = torch.arange(n - 1, -1, -1, device=like.device)
    return ((codes[:, None] >> places) & 1).to(like.dtype)


def surprise(energy: EnergyFn, x: Tensor) -> Tensor:
    """-log p(x_i | all others) of each unit of rows of zeros and ones, in nats, of x's shape (B, ...).

    p(x_i | others) = 1 / (1 + exp(E(x) - E(x with unit i flipped))), by one pass a unit. The negative sum over a row
    is its pseudo-log-likelihood (Besag 1975).
    """
    flat, own = x.flatten(1), energy(x)
    out = torch.empty_like(flat)
    for i in range(flat.shape[1]):
        flipped = flat.clone()
        flipped[:, i] = 1 - flipped[:, i]
        out[:, i] = F.softplus(own - energy(flipped.reshape(x.shape)))
    return out.reshape(x.shape)
