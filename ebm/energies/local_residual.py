"""What denoising does not give back, as an energy: a fault of a few pixels is lost in a sum over all of them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 9  # pixels of an image of 32; in proportion for others


def denoised(energy: Any, x: Tensor, sigma: float) -> Tensor:
    """D(x, sigma) = `energy.restore` where there is one, else x - sigma^2 grad E(x, sigma); differentiable where
    gradients are on."""
    if hasattr(energy, "restore"):
        return energy.restore(x, sigma)
    outer = torch.is_grad_enabled() and x.requires_grad
    with torch.inference_mode(False), torch.enable_grad():
        at = x if outer else x.detach().clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(energy(at, sigma=sigma).sum(), at, create_graph=outer)
    return x - sigma**2 * gradient


def local_residual(energy: Any, x: Tensor, sigma: float) -> Tensor:
    """E(x) = log max over places of the mean of |x - (D(x + sigma e) + D(x - sigma e)) / 2|^2 in a window of 9 / 32 of
    the side, summed over channels, (B,).

    e is one draw of N(0, I), the same for every image and every call, so that E is a function of x alone; D is asked
    about images with the noise that it was trained for (without any, networks of another seed answered otherwise and
    ranked worse), and the pair +-e cancels what is linear in the noise. An energy like any other, though no density was
    fitted to it (restoration as in Graham et al. 2023, the maximum over places as in Roth et al. 2022). x is
    (B, C, H, W).
    """
    noise = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(0)).to(x) * sigma
    back = (denoised(energy, x + noise, sigma) + denoised(energy, x - noise, sigma)) / 2
    found = (x - back).square().sum(1, keepdim=True)
    side = max(3, round(WINDOW * min(x.shape[2:]) / 32) | 1)
    means = F.avg_pool2d(found, side, 1, side // 2, count_include_pad=False)
    return means.flatten(1).amax(1).clamp_min(1e-12).log()
