"""Views: monotone maps of each coordinate, in which distances between rows mean different things."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

ViewName = Literal["standard", "quantile", "tail"]
MAX_KNOTS = 512
MAX_DISCRETE = 10  # a coordinate of at most so many values is one of levels, not of magnitudes


class View(nn.Module):
    """y_j = g_j(x_j), piecewise linear and increasing in every coordinate j: (B, d) -> (B, d).

    `standard`: (x - mean) / sd. `quantile`: normal scores, Phi^-1(mid-rank / n), re-standardised; tails of heavy
    columns come in, and zero-inflated columns spread out. `tail`: the standard view divided by
    1 + .33 (k - 3), clipped to [.2, 6], where k is the kurtosis between the 2% and 98% quantiles: columns with heavy
    shoulders count less, bounded ones more. Outside the training range the maps go on linearly.

    In every view a coordinate of at most 10 distinct values is divided by its range instead, so that two different
    levels are at distance 1 whatever their frequencies (Gower 1971); z-scores would let one rare level outweigh all
    other columns. Coordinates that agree with m - 1 others up to scale and sign count 1/m each.
    """

    knots: Tensor  # (K, d), ascending within a column, padded by repeating the last
    values: Tensor  # (K, d)
    slopes: Tensor  # (2, d): below the first and above the last knot

    def __init__(self, name: ViewName, dim: int):
        super().__init__()
        self.name = name
        self.register_buffer("knots", torch.zeros(2, dim))
        self.register_buffer("values", torch.zeros(2, dim))
        self.register_buffer("slopes", torch.ones(2, dim))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Learn the maps from training rows (N, d), N >= 2."""
        columns = [self._column(column) for column in x.double().T]
        width = max(len(k) for k, _, _ in columns)
        weights = 1 / copies(x).double().sqrt()
        knots, values, slopes = [], [], []
        for (k, v, s), w in zip(columns, weights, strict=True):
            padding = width - len(k)
            knots.append(torch.cat([k, k[-1:].expand(padding)]))
            values.append(torch.cat([v, v[-1:].expand(padding)]) * w)
            slopes.append(s * w)
        self.knots, self.values, self.slopes = (
            torch.stack(parts, 1).to(x.dtype) for parts in (knots, values, slopes)
        )

    def _column(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Knots, values and outer slopes of one column (N,)."""
        levels, counts = x.unique(return_counts=True)
        mean, sd = x.mean(), x.std(correction=0)
        low, high = levels[0], levels[-1]
        ends = torch.stack([low, high])
        if len(levels) == 1:
            scale = 1.0
            ends = torch.stack([low, low + 1])
        elif len(levels) <= MAX_DISCRETE:
            scale = float(high - low)
        elif self.name == "standard":
            scale = float(sd)
        elif self.name == "tail":
            scale = float(sd) * shoulder_factor((x - mean) / sd)
        else:
            return self._normal_scores(levels, counts, len(x), float(sd))
        return ends, (ends - mean) / scale, torch.full((2,), 1 / scale, dtype=x.dtype)

    def _normal_scores(
        self, levels: Tensor, counts: Tensor, n: int, sd: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        counts = counts.to(levels.dtype)
        u = ((counts.cumsum(0) - counts / 2) / n).clamp(0.5 / n, 1 - 0.5 / n)
        scores = torch.special.ndtri(u)
        mean = (scores * counts).sum() / n
        spread = ((scores - mean).square() * counts).sum().div(n).sqrt()
        scores = (scores - mean) / spread
        if len(levels) > MAX_KNOTS:  # evenly in normal scores, so that the tails keep theirs
            wanted = torch.linspace(float(scores[0]), float(scores[-1]), MAX_KNOTS, dtype=scores.dtype)
            keep = torch.searchsorted(scores, wanted).clamp_max(len(levels) - 1)
            keep = torch.cat([keep, torch.linspace(0, len(levels) - 1, MAX_KNOTS).long()]).unique()
            levels, scores = levels[keep], scores[keep]
        return levels, scores, torch.full((2,), 1 / (sd * float(spread)), dtype=levels.dtype)

    @property
    def affine(self) -> bool:
        """Whether every map is one straight line."""
        return len(self.knots) == 2

    def forward(self, x: Tensor) -> Tensor:
        if self.affine:
            return self.values[0] + (x - self.knots[0]) * self.slopes[0]
        below = (x - self.knots[0]).clamp_max(0) * self.slopes[0]
        above = (x - self.knots[-1]).clamp_min(0) * self.slopes[1]
        inner = torch.minimum(torch.maximum(x, self.knots[0]), self.knots[-1])
        upper = torch.searchsorted(self.knots.T.contiguous(), inner.detach().T.contiguous(), right=True).T
        upper = upper.clamp(1, len(self.knots) - 1)
        k0, k1 = self.knots.gather(0, upper - 1), self.knots.gather(0, upper)
        v0, v1 = self.values.gather(0, upper - 1), self.values.gather(0, upper)
        width = k1 - k0
        share = torch.where(width > 0, (inner - k0) / torch.where(width > 0, width, 1), 1.0)
        return v0 + share * (v1 - v0) + below + above

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The number of knots is the data's, so buffers take the stored size before they are filled.
        for name in ("knots", "values"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, stored.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)


def shoulder_factor(z: Tensor) -> float:
    """1 + .33 (kurtosis - 3) of the values between the 2% and 98% quantiles, clipped to [.2, 6]; z (N,)."""
    low, high = _quantiles(z, (0.02, 0.98))
    inner = z[(z >= low) & (z <= high)]
    spread = inner.std(correction=0)
    if spread < 1e-12:
        return 1.0
    kurtosis = float(((inner - inner.mean()) / spread).pow(4).mean())
    return min(max(1 + 0.33 * (kurtosis - 3), 0.2), 6.0)


def _quantiles(z: Tensor, levels: tuple[float, ...]) -> list[float]:
    """Linear-interpolated quantiles; torch's own refuses more than 2^24 values."""
    ordered = z.sort().values
    answers = []
    for level in levels:
        at = level * (len(z) - 1)
        low = math.floor(at)
        high = min(low + 1, len(z) - 1)
        answers.append(float(ordered[low] + (at - low) * (ordered[high] - ordered[low])))
    return answers


@torch.no_grad()
def copies(x: Tensor, rows: int = 2048) -> Tensor:
    """(d,): how many columns of x (N, d) say what this one says, |correlation| > .9999; itself included.

    Near-copies are found on at most `rows` evenly spaced rows.
    """
    sample = x[:: max(1, len(x) // rows)].double()
    z = sample - sample.mean(0)
    norm = z.norm(dim=0)
    varies = norm > 1e-9
    z = torch.where(varies, z / norm.clamp_min(1e-30), 0.0)
    alike = (z.T @ z).abs() > 0.9999
    return torch.where(varies, alike.sum(0), 1).to(x.dtype)
