"""Denoisers known in closed form, for tests of what takes a denoiser in place of a gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebm.energies.analytic import Gaussian


class WienerFilter(nn.Module):
    """restore(x, sigma) is the mean of the clean x given the noisy one, of Gaussian data (Wiener 1949); the energy is
    that of its squared residual, whose gradient is another field."""

    noise_conditional = True
    covariance: Tensor

    def __init__(self, data: Gaussian):
        super().__init__()
        self.data = data
        self.register_buffer("covariance", torch.linalg.inv(data.precision))

    def restore(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        assert not torch.is_grad_enabled()
        flat = x.flatten(1) - self.data.mean
        levels = torch.as_tensor(sigma, dtype=x.dtype).expand(len(x))
        noise = levels.square()[:, None, None] * torch.eye(flat.shape[1])
        # C (C + s^2 I)^-1, both of which are functions of C and so commute.
        filtered = torch.linalg.solve(self.covariance + noise, flat[:, :, None])[:, :, 0] @ self.covariance
        return (self.data.mean + filtered).reshape(x.shape)

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        assert sigma is not None
        with torch.no_grad():
            residual = (x - self.restore(x, sigma)).flatten(1)
        return residual.square().sum(1) / (2 * torch.as_tensor(sigma).expand(len(x)).square())
