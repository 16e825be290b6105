"""Negatives on the manifold of an autoencoder: images that it can repeat, and that are no data."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Generator, Tensor

from ebm.negatives.draws import normal, others, uniform


class Codes(Protocol):
    """An energy with an autoencoder; `settle` has set the mean and a square root of the covariance of its code."""

    latent_mean: Tensor
    latent_root: Tensor

    def encode(self, x: Tensor) -> Tensor: ...
    def decode(self, code: Tensor) -> Tensor: ...


@torch.no_grad()
def latent_moves(x: Tensor, codes: Codes, generator: Generator) -> Tensor:
    """decode(z'), z' being the code of x after a jump of .3 to 1.5 sd, on the way to another image's, with a share of
    its numbers, or drawn from the Gaussian of all codes; in three of five cases the residual of x is added back.

    Source: Yoon et al. 2023 (manifold projection-diffusion), here without the chain.
    """
    code = codes.encode(x)
    n, d = code.shape
    another = others(code, generator)
    jump = code + normal((n, d), x, generator) @ codes.latent_root.T * uniform(0.3, 1.5, (n, 1), x, generator)
    between = uniform(0.25, 0.75, (n, 1), x, generator)
    share = uniform(0.2, 0.6, (n, 1), x, generator)
    swapped = torch.where(uniform(0.0, 1.0, (n, d), x, generator) < share, another, code)
    drawn = codes.latent_mean + normal((n, d), x, generator) @ codes.latent_root.T
    which = torch.randint(4, (n, 1), generator=generator, device=x.device)
    moved = torch.where(which == 0, jump, between * code + (1 - between) * another)
    moved = torch.where(which == 2, swapped, torch.where(which == 3, drawn, moved))
    keeps = (uniform(0.0, 1.0, (n, 1, 1, 1), x, generator) < 0.6).to(x.dtype)
    return (codes.decode(moved) + keeps * (x - codes.decode(code))).clamp(-1, 1)
