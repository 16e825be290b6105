"""What the energies of binary units share."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


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
