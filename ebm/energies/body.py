"""Network bodies that energies put a head on. SiLU throughout, because objectives differentiate twice; no batch norm,
because a row's energy must not depend on the rows beside it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

N_SIGMA_FEATURES = 8


def sigma_features(sigma: Tensor) -> Tensor:
    """sigma (B, 1) > 0 -> (B, 8): smooth functions of log sigma, all of order one over 1e-2..1e2."""
    t = sigma.log()
    frequencies = torch.tensor([0.5, 1.0, 2.0], dtype=sigma.dtype, device=sigma.device)
    return torch.cat([t / 2, 1 / (1 + sigma), torch.sin(t * frequencies), torch.cos(t * frequencies)], 1)


class MLPBody(nn.Module):
    """Residual multilayer perceptron: a_1 = SiLU(W_1 [x, e]); a_{l+1} = a_l + SiLU(W_l [a_l, e]); out = V a_L.

    x is (B, n_in), e the sigma features (B, 8) where the body is noise-conditional; the answer is (B, n_out).
    """

    def __init__(self, n_in: int, n_out: int, width: int, depth: int, noise_conditional: bool):
        super().__init__()
        extra = N_SIGMA_FEATURES if noise_conditional else 0
        self.noise_conditional = noise_conditional
        self.first = nn.Linear(n_in + extra, width)
        self.hidden = nn.ModuleList(nn.Linear(width + extra, width) for _ in range(depth - 1))
        self.out = nn.Linear(width, n_out)
        # A quiet head: the energy starts as its analytic base plus a small, non-constant term.
        nn.init.normal_(self.out.weight, std=0.5 / width**0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        e = [sigma_features(sigma)] if self.noise_conditional and sigma is not None else []
        a = F.silu(self.first(torch.cat([x, *e], 1)))
        for layer in self.hidden:
            a = a + F.silu(layer(torch.cat([a, *e], 1)))
        return self.out(a)


class ConvBody(nn.Module):
    """Strided convolutions to one number: conv3 -> [conv3 stride 2, conv3 residual] per width -> mean-pool -> linear.

    x is (B, C, H, W); sigma enters as an additive bias per channel after each stride. The answer is (B, n_out).
    """

    def __init__(self, channels: int, n_out: int, widths: tuple[int, ...], noise_conditional: bool):
        super().__init__()
        self.noise_conditional = noise_conditional
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)
        pairs = list(zip((widths[0], *widths[:-1]), widths, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.same = nn.ModuleList(nn.Conv2d(b, b, 3, padding=1) for b in widths)
        self.bias = nn.ModuleList(
            nn.Linear(N_SIGMA_FEATURES, b) if noise_conditional else nn.Identity() for b in widths
        )
        self.out = nn.Linear(widths[-1], n_out)
        nn.init.normal_(self.out.weight, std=0.5 / widths[-1] ** 0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        a = F.silu(self.first(x))
        for down, same, bias in zip(self.down, self.same, self.bias, strict=True):
            a = down(a)
            if self.noise_conditional and sigma is not None:
                a = a + bias(sigma_features(sigma))[:, :, None, None]
            a = F.silu(a)
            a = a + F.silu(same(a))
        return self.out(a.sum((2, 3)) / (a.shape[2] * a.shape[3]) ** 0.5)
