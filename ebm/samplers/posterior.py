"""The clean x given the noisy one: by an energy's gradient, or by a denoiser that comes with it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ebm.samplers.gradient import energy_and_gradient
from ebm.types import Energy


@runtime_checkable
class Denoiser(Protocol):
    """A noise-conditional energy that comes with a denoiser of its own.

    restore(x, sigma) is its mean of the clean x (B, ...) given the noisy one; sigma (B,) or a float. The field
    (restore(x, sigma) - x) / sigma^2 estimates the score function, but need not be minus the gradient of that energy,
    or of any.
    """

    def restore(self, x: Tensor, sigma: Tensor | float) -> Tensor: ...


def posterior_mean(energy: Energy, x: Tensor, sigma: Tensor | float) -> Tensor:
    """The mean of the clean x given the noisy one: restore(x, sigma) where the energy has it, otherwise
    x - sigma^2 grad E(x, sigma) (Robbins 1956; Miyasawa 1961).

    x (B, ...), sigma (B,) or a float -> (B, ...).
    """
    if isinstance(energy, Denoiser):
        with torch.no_grad():
            return energy.restore(x, sigma)
    return x + _squared(sigma, x) * score_estimate(energy, x, sigma)


def score_estimate(energy: Energy, x: Tensor, sigma: Tensor | float) -> Tensor:
    """The score function of the data with noise sigma, grad log p(x): -grad E(x, sigma), or of a `Denoiser` the field
    (restore(x, sigma) - x) / sigma^2. x (B, ...), sigma (B,) or a float -> (B, ...)."""
    if isinstance(energy, Denoiser):
        return (posterior_mean(energy, x, sigma) - x) / _squared(sigma, x)
    _, gradient = energy_and_gradient(lambda x: energy(x, sigma=sigma), x)
    return -gradient


def _squared(sigma: Tensor | float, x: Tensor) -> Tensor:
    """sigma^2, one for each row of x or one for all, shaped to be multiplied with x."""
    return torch.as_tensor(sigma, dtype=x.dtype, device=x.device).square().reshape(-1, *[1] * (x.dim() - 1))
