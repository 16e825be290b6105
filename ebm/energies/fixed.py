"""An energy at one noise level, with all that does not depend on x worked out once.

Scoring asks one energy at the same few levels again and again, and on small batches the operations around the
matrix products cost more than the products. The numbers are those of the energy itself, but for rounding.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ebm.energies.body import MLPBody, sigma_features
from ebm.types import EnergyFn


def at_level(energy: Any, sigma: float | None) -> EnergyFn:
    """x (B, ...) -> E(x, sigma) (B,), without gradients for the parameters: call it where `energy` is final."""
    own = getattr(energy, "at_level", None)
    return partial(energy, sigma=sigma) if own is None else own(sigma)


class FixedMLP:
    """y (B, d) -> gain * body(y / spread, sigma), (B, n_out): the noise features are part of the biases."""

    @torch.no_grad()
    def __init__(self, body: MLPBody, sigma: float | None, spread: Tensor, gain: Tensor | float):
        device, dtype = body.out.weight.device, body.out.weight.dtype
        column = torch.full((1, 1), sigma or 0.0, device=device, dtype=dtype)
        features = sigma_features(column)[0] if body.noise_conditional else None

        def folded(layer: Any) -> tuple[Tensor, Tensor]:
            weight, bias = layer.weight, layer.bias
            if features is None:
                return weight.clone(), bias.clone()
            n = weight.shape[1] - len(features)
            return weight[:, :n].contiguous(), bias + weight[:, n:] @ features

        weight, bias = folded(body.first)
        self.first = weight / spread, bias
        self.hidden = [folded(layer) for layer in body.hidden]
        self.out = body.out.weight * gain, body.out.bias * gain

    def __call__(self, y: Tensor) -> Tensor:
        a = F.silu(F.linear(y, *self.first))
        for layer in self.hidden:
            a = a + F.silu(F.linear(a, *layer))
        return F.linear(a, *self.out)
