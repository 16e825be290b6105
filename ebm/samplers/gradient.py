"""The one place where samplers differentiate an energy."""

from __future__ import annotations

import torch
from torch import Tensor

from ebm.types import EnergyFn


def energy_and_gradient(energy: EnergyFn, x: Tensor) -> tuple[Tensor, Tensor]:
    """E(x) and dE/dx, both detached. The score function is minus the second.

    Only x is differentiated: the parameters' `.grad` and `requires_grad` stay as they are. Works inside
    `torch.no_grad()` and `torch.inference_mode()`.

    Args:
        energy: x (B, ...) -> (B,), where row i's energy depends on row i alone.
        x: (B, ...), floating point.

    Returns:
        E (B,) and the gradient, shaped like x.

    Raises:
        ValueError: the energy did not answer with one number a row.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # A clone, for a tensor made in inference mode can never be differentiated.
        x = (x.clone() if x.is_inference() else x.detach()).requires_grad_(True)
        values = _one_a_row(energy(x), x)
        (gradient,) = torch.autograd.grad(values.sum(), x)
    return values.detach(), gradient


def energy_values(energy: EnergyFn, x: Tensor) -> Tensor:
    """E(x), (B,), detached, of x (B, ...), for samplers that need no gradient.

    Raises:
        ValueError: the energy did not answer with one number a row.
    """
    with torch.no_grad():
        return _one_a_row(energy(x.detach()), x)


def _one_a_row(values: Tensor, x: Tensor) -> Tensor:
    if values.shape != x.shape[:1]:
        raise ValueError(f"energy: expected shape ({len(x)},), got {tuple(values.shape)}")
    return values


def row_norm(x: Tensor) -> Tensor:
    """Euclidean norm of every row of x (B, ...): (B,)."""
    return x.flatten(1).norm(dim=1)


def standard_normal_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """N(0, I) noise of x's shape, type and device, from `generator`."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
