"""Maximum likelihood by MCMC: chains from fresh starts, long enough to reach the energy's own density."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.objectives.chains import contrastive_loss, unwrapped
from ebm.objectives.curvature import smoothed
from ebm.samplers.langevin import Langevin
from ebm.samplers.mala import MALA
from ebm.samplers.replay_buffer import ReplayBuffer
from ebm.types import LossOutput

Start = Literal["noise", "gaussian", "persistent"]
FRESH_SHARE = 0.02  # of persistent chains, so that none is stuck for ever


class MaximumLikelihoodConfig(Frozen):
    """`n_steps` of Langevin a batch, whose step size falls geometrically from `step_start` to `step_end`; with
    `metropolis` each is accepted or refused, which makes it exact.

    `start`: of the chains: `noise`, N(0, noise_scale^2 I); `gaussian`, the Gaussian fitted to the data, widened by
    `noise_scale`; `persistent`, where the last batches left `buffer_size` chains, which began as `gaussian`. `l2`: on
    the energies; `data_noise`: sd of noise added to the data.
    """

    kind: Literal["maximum_likelihood"] = "maximum_likelihood"
    n_steps: int = Field(default=50, ge=1)
    metropolis: bool = True
    step_start: float = Field(default=0.5, gt=0)
    step_end: float = Field(default=0.05, gt=0)
    start: Start = "gaussian"
    noise_scale: float = Field(default=1.0, gt=0)
    buffer_size: int = Field(default=4096, ge=1)
    l2: float = Field(default=0.0, ge=0)
    data_noise: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _falling(self) -> MaximumLikelihoodConfig:
        if self.step_end > self.step_start:
            raise ValueError("'step_end' is above 'step_start'")
        return self

    def build(self) -> MaximumLikelihood:
        return MaximumLikelihood(
            self.n_steps,
            self.step_start,
            self.step_end,
            self.metropolis,
            self.start,
            self.noise_scale,
            self.buffer_size,
            self.l2,
            self.data_noise,
        )


class MaximumLikelihood:
    """mean E(x) - mean E(y), y the ends of chains that do not begin at the data: the loss of `contrastive_loss`.

    Its gradient in theta is that of the negative log-likelihood where the chains have reached exp(-E) (Younes 1999;
    Xie et al. 2016), whatever they began with. Step i of n has size step_start (step_end / step_start)^(i / (n - 1)):
    large steps cross between modes, small ones settle in them. With Metropolis's correction (MALA) every step leaves
    exp(-E) as it is; without it there is a bias of the order of the last step sizes. Temperature 1 in either case.

    Where chains are too short the energy learns to carry starts to data in n steps, and its density is not that of the
    data (Nijkamp et al. 2019; Nijkamp et al. 2020, "anatomy"): watch that 'gap' stays about 0, and that chains ten
    times as long give the same samples. `persistent` chains go on from batch to batch, a share of .02 begins anew.

    The state is the Gaussian fitted to the data (by `prepare`, else to the first batch) and the persistent chains.
    """

    def __init__(
        self,
        n_steps: int = 50,
        step_start: float = 0.5,
        step_end: float = 0.05,
        metropolis: bool = True,
        start: Start = "gaussian",
        noise_scale: float = 1.0,
        buffer_size: int = 4096,
        l2: float = 0.0,
        data_noise: float = 0.0,
    ):
        kind = MALA if metropolis else Langevin
        ratio = step_end / step_start
        self.samplers = [kind(step_start * ratio ** (i / max(1, n_steps - 1))) for i in range(n_steps)]
        self.start, self.noise_scale, self.l2, self.data_noise = start, noise_scale, l2, data_noise
        self.buffer = ReplayBuffer(buffer_size, FRESH_SHARE)
        self.fitted: tuple[Tensor, Tensor] | None = None

    def prepare(self, energy: Any, x: Tensor, generator: Generator) -> None:
        """Fit the Gaussian of the starts to x (N, ...)."""
        del energy, generator
        flat = x.flatten(1)
        centred = flat - flat.mean(0)
        covariance = centred.T @ centred / max(1, len(flat) - 1)
        values, vectors = torch.linalg.eigh(covariance.double())
        self.fitted = flat.mean(0), (vectors * values.clamp_min(1e-6).sqrt()).to(x.dtype)

    def fresh(self, n: int, like: Tensor, generator: Generator) -> Tensor:
        """n new starts, shaped like the rows of `like`."""
        shape = (n, like[0].numel())
        noise = self.noise_scale * torch.randn(
            shape, generator=generator, device=like.device, dtype=like.dtype
        )
        if self.start != "noise":
            assert self.fitted is not None
            mean, root = self.fitted
            noise = mean + noise @ root.T
        return noise.reshape(n, *like.shape[1:])

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        x = smoothed(x, self.data_noise, generator)
        if self.fitted is None:
            self.prepare(energy, x, generator)
        index = None
        if self.start == "persistent":
            y, index = self.buffer.sample(len(x), lambda n, g: self.fresh(n, x, g), generator)
        else:
            y = self.fresh(len(x), x, generator)
        accepted = []
        for sampler in self.samplers:
            y, info = sampler.step(unwrapped(energy), y, generator)
            if info.accepted is not None:
                accepted.append(info.accepted.float().mean())
        y = y.detach()
        if index is not None:
            self.buffer.update(index, y)
        out = contrastive_loss(energy, x, y, self.l2)
        if not accepted:
            return out
        return LossOutput(out.loss, out.metrics | {"acceptance": float(torch.stack(accepted).mean())})

    def state_dict(self) -> dict[str, Tensor]:
        fitted = {} if self.fitted is None else dict(zip(("mean", "root"), self.fitted, strict=True))
        return fitted | self.buffer.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.fitted = (state["mean"], state["root"]) if "mean" in state else None
        self.buffer.load_state_dict(state)
