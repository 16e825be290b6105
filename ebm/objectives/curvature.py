"""First and second derivatives of an energy, for objectives that match scores without chains."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Generator, Tensor

Probes = Literal["rademacher", "gaussian"]


def smoothed(x: Tensor, sigma: float, generator: Generator) -> Tensor:
    """x + sigma eps, eps ~ N(0, I); x itself at sigma 0."""
    if not sigma:
        return x
    return x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def energies_and_gradient(energy: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, ...) as a leaf of the graph, E (B,), and grad E shaped like x, which can be differentiated again."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        energies = energy(x)
        (gradient,) = torch.autograd.grad(energies.sum(), x, create_graph=True)
    return x, energies, gradient


def draw_probes(x: Tensor, kind: Probes, generator: Generator) -> Tensor:
    """Random directions shaped like x, of mean 0 and covariance I."""
    if kind == "gaussian":
        return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    signs = torch.randint(2, x.shape, generator=generator, device=x.device)
    return (2 * signs - 1).to(x.dtype)


def along(gradient: Tensor, x: Tensor, v: Tensor) -> Tensor:
    """hess(E) v of each row, shaped like x, which can be differentiated again."""
    if not gradient.requires_grad:  # an energy linear in x has no curvature
        return torch.zeros_like(x)
    (product,) = torch.autograd.grad(gradient, x, v, create_graph=True, allow_unused=True)
    return torch.zeros_like(x) if product is None else product
