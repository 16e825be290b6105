"""The densities of the sets of `ebm.data.toy`, as normalised energies: E(x) = -log p(x)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ebm.data import toy
from ebm.types import EnergyFn

NODES = 64  # of the midpoint rule along a moon: closer than the noise's sd, so that the sum is the integral


def truth(name: toy.ToyName) -> EnergyFn:
    """E(x) = -log p(x), x (B, 2) in the units of `draw_toy` -> (B,), in nats; computed in float64, answered in x's
    type. -grad E is the score function of the set. Moons by quadrature along the curves, all others in closed form."""
    log_density = {
        "moons": _moons,
        "pinwheel": _pinwheel,
        "rings": _rings,
        "eight_gaussians": _eight_gaussians,
        "checkerboard": _checkerboard,
    }[name]
    return lambda x, /: -log_density(x.double()).to(x.dtype)


def _mixture(x: Tensor, centres: np.ndarray, sd: float) -> Tensor:
    """log mean_k N(x; c_k, sd^2 I), centres (K, 2)."""
    c = torch.from_numpy(centres).to(x)
    distance = x.square().sum(1, keepdim=True) - 2 * x @ c.T + c.square().sum(1)  # no (B, K, 2) in float64
    return torch.logsumexp(-distance / (2 * sd**2), 1) - math.log(len(centres) * 2 * math.pi * sd**2)


def _moons(x: Tensor) -> Tensor:
    t = (np.arange(NODES) + 0.5) * np.pi / NODES
    return _mixture(x, toy.moon_curves(t).reshape(-1, 2), toy.MOON_NOISE)


def modes() -> np.ndarray:
    """Centres (8, 2) of the eight Gaussians."""
    angle = np.pi / 4 * np.arange(8)
    return toy.MODE_RADIUS * np.stack([np.cos(angle), np.sin(angle)], 1)


def _eight_gaussians(x: Tensor) -> Tensor:
    return _mixture(x, modes(), toy.MODE_SD)


def _pinwheel(x: Tensor) -> Tensor:
    """log mean_k N(u_k; (1, 0), diag) - 2 log scale, with u_k = x / scale turned back: turning by an angle that depends
    on the radius alone keeps areas."""
    u = x / toy.PINWHEEL_SCALE
    radius = (u.square().sum(1) + 1e-30).sqrt()
    back = -toy.TWIST * radius.exp()[:, None] - 2 * math.pi / toy.PETALS * torch.arange(toy.PETALS).to(x)
    cos, sin = back.cos(), back.sin()
    r, b = cos * u[:, :1] - sin * u[:, 1:], sin * u[:, :1] + cos * u[:, 1:]
    log_petal = -((r - 1) / toy.RADIAL_SD).square() / 2 - (b / toy.TANGENTIAL_SD).square() / 2
    norm = 2 * math.pi * toy.RADIAL_SD * toy.TANGENTIAL_SD * toy.PETALS * toy.PINWHEEL_SCALE**2
    return torch.logsumexp(log_petal, 1) - math.log(norm)


def _rings(x: Tensor) -> Tensor:
    """A circle of radius R convolved with N(0, s^2 I): exp(-(r^2 + R^2) / (2 s^2)) I0(r R / s^2) / (2 pi s^2)."""
    radii, s2 = torch.from_numpy(toy.RADII).to(x), toy.RING_NOISE**2
    r = (x.square().sum(1, keepdim=True) + 1e-30).sqrt()
    log_ring = -(r - radii).square() / (2 * s2) + torch.special.i0e(r * radii / s2).log()
    return torch.logsumexp(log_ring, 1) - math.log(3 * 2 * math.pi * s2)


def _checkerboard(x: Tensor) -> Tensor:
    """Each coordinate of a square is uniform plus noise: (Phi(b) - Phi(a)) / side, in logs that do not underflow."""
    centres = toy.SQUARE * (torch.arange(4).to(x) - 1.5)
    away = (x[:, :, None] - centres).abs()
    upper = torch.special.log_ndtr((toy.SQUARE / 2 - away) / toy.EDGE_NOISE)
    lower = torch.special.log_ndtr((-toy.SQUARE / 2 - away) / toy.EDGE_NOISE)
    log_side = upper + torch.log1p(-(lower - upper).exp()) - math.log(toy.SQUARE)
    columns, rows = log_side[:, 0], log_side[:, 1]
    index = torch.arange(8)
    dark = columns[:, index // 2] + rows[:, 2 * (index % 2) + index // 2 % 2]
    return torch.logsumexp(dark, 1) - math.log(8)
