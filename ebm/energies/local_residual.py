"""What denoising would change most, as an energy: a fault of a few pixels is lost in a sum over all of them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 9  # pixels of an image of 32; in proportion for others


def residual_map(energy: Any, x: Tensor, sigma: float) -> Tensor:
    """|x - D(x, sigma)|^2 / sigma^2 summed over channels, (B, H, W), with D = `energy.restore` where there is one, else
    x - sigma^2 grad E(x, sigma), so that x - D = sigma^2 grad E.

    Differentiable where gradients are on.
    """
    if hasattr(energy, "restore"):
        change = (x - energy.restore(x, sigma)) / sigma
    else:
        outer = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            at = x if outer and x.requires_grad else x.detach().clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(energy(at, sigma=sigma).sum(), at, create_graph=outer)
        change = sigma * gradient
    return change.square().sum(1)


def local_residual(energy: Any, x: Tensor, sigma: float) -> Tensor:
    """E(x) = log max over places of the mean of |x - D(x, sigma)|^2 / sigma^2 in a window of 9 / 32 of the side, (B,).

    A function of x alone, so an energy like any other, though no density was fitted to it: the largest change that
    denoising at sigma would make anywhere (the maximum over places as in Roth et al. 2022). x is (B, C, H, W).
    """
    found = residual_map(energy, x, sigma)[:, None]
    side = max(3, round(WINDOW * min(x.shape[2:]) / 32) | 1)
    means = F.avg_pool2d(found, side, 1, side // 2, count_include_pad=False)
    return means.flatten(1).amax(1).clamp_min(1e-12).log()
