"""A normalising flow: a density that can be drawn from, evaluated and trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from ebm.config import Frozen

Width = Annotated[int, Field(ge=1)]


class FlowConfig(Frozen):
    """`transforms` coupling layers, conditioned by perceptrons of `hidden` units; each maps by a line (`affine`: the
    RealNVP of Dinh et al. 2017) or by a rational-quadratic `spline` (Durkan et al. 2019)."""

    transforms: int = Field(default=4, ge=1)
    hidden: tuple[Width, ...] = Field(default=(64, 64), min_length=1)
    univariate: Literal["affine", "spline"] = "affine"


class Flow(nn.Module):
    """x = m + s T(z), z ~ N(0, I), T from zuko; log q(x) = log N(z) - log |dT/dz| - sum_j log s_j.

    m and s are the mean and standard deviation of the columns of the rows x (N, d) that it is made for. Its weights are
    drawn by `seed`, its samples by the generator that is given, never by torch's own.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, config: FlowConfig, x: Tensor, seed: int):
        super().__init__()
        from zuko import flows, transforms  # slow to import, and needed only here

        d, bins = x.shape[1], 8
        univariate: dict[str, Any] = {}
        if config.univariate == "spline":
            shapes = [(bins,), (bins,), (bins - 1,)]
            univariate = {"univariate": transforms.MonotonicRQSTransform, "shapes": shapes}
        kind: Any = flows.NICE if d > 1 else flows.MAF  # one column has no other half to be given
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.flow: Any = kind(
                d, transforms=config.transforms, hidden_features=config.hidden, **univariate
            )
        self.register_buffer("mean", x.mean(0))
        self.register_buffer("sd", x.std(0).clamp_min(1e-2))
        self.to(x.device)

    def sample(self, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """n draws x (n, d) and log q(x) (n,), with gradients to the flow."""
        z = torch.randn((n, len(self.mean)), generator=generator, device=self.mean.device)
        q = self.flow()
        y, log_det = q.transform.inv.call_and_ladj(z)
        return self.mean + self.sd * y, q.base.log_prob(z) - log_det - self.sd.log().sum()

    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x), (B,), of x (B, d)."""
        return self.flow().log_prob((x - self.mean) / self.sd) - self.sd.log().sum()
