"""log Z exactly: by summing over binary states, or by a grid over one or two coordinates."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ebm.errors import BadInput
from ebm.types import EnergyFn

MAX_UNITS, CHUNK = 20, 1 << 14  # 2^20 states take seconds


def binary_states(n: int, device: torch.device | str = "cpu") -> Iterator[Tensor]:
    """All rows of {0, 1}^n, float64, in parts (at most CHUNK, n)."""
    places = torch.arange(n - 1, -1, -1, device=device)
    for codes in torch.arange(2**n, device=device).split(CHUNK):
        yield ((codes[:, None] >> places) & 1).double()


def sum_states(log_weight: Callable[[Tensor], Tensor], n: int, device: torch.device | str = "cpu") -> float:
    """log of the sum of exp(log_weight(s)) over s in {0, 1}^n, float64.

    Raises:
        BadInput: n is above 20.
    """
    if n > MAX_UNITS:
        raise BadInput(f"{n} binary units have 2^{n} states; enumeration goes up to {MAX_UNITS} units")
    with torch.no_grad():
        parts = [log_weight(part).double().logsumexp(0) for part in binary_states(n, device)]
    return float(torch.stack(parts).logsumexp(0))


def rbm_log_z(machine: Any) -> float:
    """log Z of a restricted Boltzmann machine by summing over its smaller layer, the other one summed out exactly.

    Over hidden states: log sum_h exp(c'h + sum_i softplus(b_i + W_i h)); over visible ones: log sum_v exp(-F(v)).
    Gaussian visible units are always summed out: sum_i [log(2 pi s_i^2) / 2 + ((b_i + W_i h)^2 - b_i^2) / (2 s_i^2)].

    Raises:
        BadInput: the smaller layer has more than 20 units.
    """
    rbm = _double(machine)
    n_visible, n_hidden = rbm.weight.shape
    gaussian = getattr(rbm, "visible", "binary") == "gaussian"
    if n_visible < n_hidden and not gaussian:
        return sum_states(
            lambda v: -rbm(v.reshape(-1, *getattr(rbm, "shape", (n_visible,)))), n_visible, rbm.weight.device
        )

    def of_hidden(h: Tensor) -> Tensor:
        total = rbm.visible_bias + h @ rbm.weight.T
        if not gaussian:
            return h @ rbm.hidden_bias + F.softplus(total).sum(1)
        shift = (total.square() - rbm.visible_bias.square()) * torch.exp(-rbm.log_variance)
        return h @ rbm.hidden_bias + 0.5 * (math.log(2 * math.pi) + rbm.log_variance + shift).sum(1)

    return sum_states(of_hidden, n_hidden, rbm.weight.device)


def binary_log_z(energy: Any, shape: tuple[int, ...]) -> float:
    """log Z of any energy of rows (B, *shape) of zeros and ones, over all of them.

    Raises:
        BadInput: a row has more than 20 coordinates.
    """
    device = next((p.device for p in energy.parameters()), "cpu") if isinstance(energy, nn.Module) else "cpu"
    exact = _double(energy) if isinstance(energy, nn.Module) else energy
    return sum_states(lambda x: -exact(x.reshape(-1, *shape)), math.prod(shape), device)


def grid_log_z(energy: EnergyFn, low: Tensor, high: Tensor, n_points: int = 400) -> float:
    """log of the integral of exp(-E) over a box of one or two dimensions, by the trapezoid rule.

    For an energy that is smooth and negligible at the box's edge the error falls faster than any power of the spacing.

    Args:
        energy: x (B, d) -> (B,).
        low, high: (d,) corners of the box, d = 1 or 2.
        n_points: in each direction.

    Raises:
        BadInput: d is neither 1 nor 2.
    """
    d = len(low)
    if d not in (1, 2):
        raise BadInput(f"a grid is for 1 or 2 coordinates, not {d}")
    axes = [
        torch.linspace(0, 1, n_points, dtype=torch.float64) * (high[i] - low[i]) + low[i] for i in range(d)
    ]
    edge = torch.zeros(n_points, dtype=torch.float64)
    edge[0] = edge[-1] = math.log(0.5)  # the trapezoid rule gives the ends half the weight
    points = torch.cartesian_prod(*axes).reshape(-1, d)
    weights = torch.cartesian_prod(*[edge] * d).reshape(-1, d).sum(1)
    with torch.no_grad():
        parts = [energy(part.to(low)).double() for part in points.split(CHUNK)]
    cell = sum(math.log(float(high[i] - low[i]) / (n_points - 1)) for i in range(d))
    return float((weights.to(low.device) - torch.cat(parts)).logsumexp(0)) + cell


def _double(energy: Any) -> Any:
    return copy.deepcopy(energy).double().requires_grad_(False)
