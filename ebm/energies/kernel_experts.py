"""Parzen energies at several adaptive bandwidths from one matrix of squared distances."""

from __future__ import annotations

import torch
from torch import Tensor

ADAPTIVE = (0.0, 0.5, 1.0)
WIDE = 4.0  # the second bandwidth, as a multiple of the first's square
EXPERTS = ((0, 1), (1, 1), (2, 1), (0, WIDE), (1, WIDE))  # (index into ADAPTIVE, bandwidth)
FLOOR = -21.5  # exp(4 FLOOR) is the smallest normal float32; subnormal ones are ten times slower
LOWEST = -3e38  # of an exponent: where distances overflow the energy is infinite, not NaN


def parzen_energies(
    distances: Tensor,
    radii: Tensor,
    spreads: Tensor,
    masses: Tensor,
    typical: Tensor,
    dim: int,
    own: Tensor | None = None,
) -> Tensor:
    """(B, K): -log sum_i n_i exp(-D_i / (2 s_i^2)), s_i^2 = f (2 m / d (r_i / m)^alpha + v_i), for the K `EXPERTS`.

    Each exponential serves two bandwidths, exp(-a) = exp(-a / 4)^4.

    Args:
        distances: D (B, M), squared; radii r, spreads v and masses n are (M,), typical m is ().
        own: (B, M) bool, where a centre is the row itself, which then counts one less.
    """
    if own is not None:
        masses = masses - own.to(masses.dtype)
    energies: dict[tuple[int, float], Tensor] = {}
    for i, alpha in enumerate(ADAPTIVE):
        squared = 2 * typical / dim * (radii / typical) ** alpha + spreads
        exponents = distances * (-0.5 / WIDE / squared)
        if own is not None:
            exponents = exponents.masked_fill(masses <= 0, -torch.inf)
        top = exponents.amax(1, keepdim=True).clamp_min(LOWEST)
        wide = torch.exp((exponents - top).clamp_min(FLOOR))
        narrow = wide.square().square()
        for f, kernels, shift in ((WIDE, wide, top), (1, narrow, WIDE * top)):
            if (i, f) in EXPERTS:
                total = kernels @ masses if own is None else (kernels * masses).sum(1)
                energies[i, f] = -total.log() - shift.squeeze(1)
    return torch.stack([energies[expert] for expert in EXPERTS], 1)
