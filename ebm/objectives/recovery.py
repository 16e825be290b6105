"""Recovery likelihood: the likelihood of the clean row given a noisy one, whose chains are short and stay near."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.objectives.chains import ChainConfig, figures, unwrapped
from ebm.objectives.noise_levels import log_uniform
from ebm.samplers.mala import MALAConfig
from ebm.types import LossOutput, Sampler

Level = Annotated[float, Field(gt=0)]


class RecoveryConfig(Frozen):
    """`k_steps` of `sampler` from the noisy row, whose step size is in units of the noise's variance.

    `sigma`: the noise's sd, or [low, high], between which it is drawn log-uniform for each row: for energies of the
    clean data. `levels`: instead of it, ascending noise levels, for noise-conditional energies. `l2`: on the energies.
    """

    kind: Literal["recovery"] = "recovery"
    sigma: Level | tuple[Level, Level] | None = None
    levels: tuple[Level, ...] = ()
    k_steps: int = Field(default=20, ge=1)
    sampler: ChainConfig = MALAConfig(step_size=0.1)
    l2: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_of_both(self) -> RecoveryConfig:
        if (self.sigma is None) == (not self.levels):
            raise ValueError("give 'sigma', or 'levels' for a noise-conditional energy, and not both")
        if self.levels and (
            len(self.levels) < 2 or any(b <= a for a, b in zip(self.levels, self.levels[1:], strict=False))
        ):
            raise ValueError("'levels' are at least two ascending noise levels")
        if isinstance(self.sigma, tuple) and self.sigma[1] < self.sigma[0]:
            raise ValueError("'sigma' is [low, high], and high is below low")
        return self

    @property
    def over_levels(self) -> bool:
        return bool(self.levels)

    def build(self) -> Recovery:
        return Recovery(self.sampler.build(), self.k_steps, self.sigma, self.levels, self.l2)


class Recovery:
    """mean E(x) - mean E(y), y drawn by chains from p(y | x~) ~ exp(-E(y) - |x~ - y|^2 / (2 g^2)), x~ = x + g eps.

    Its gradient is that of the negative log-likelihood of x given x~ (Bengio et al. 2013; Gao et al. 2021, eq. 7),
    whose maximum is the data's own energy at every g. The second term ties the chains to x~: where g is small their
    density has one mode, which short chains from x~ reach, but it then tells little about how deep far modes are beside
    each other. As g goes to 0 this becomes denoising score matching, as it grows maximum likelihood. Chains move in
    u = (y - x~) / g, of energy E(x~ + g u) + |u|^2 / 2: one step size fits rows of every g.

    Steps so large that few are accepted leave the chains at x~, which E then pushes away without end: watch
    'acceptance', near .6 at best and well above 0 throughout.

    With `sigma` E is of the clean data x and takes no noise level. With `levels` s_0 < s_1 < ... of a noise-conditional
    energy, a row has level t, drawn evenly: x there is the row with noise s_t, its energy E(x, s_t), and
    g^2 = s_{t+1}^2 - s_t^2, so that x~ has level t + 1 (their diffusion recovery likelihood, with variances that
    explode). E(., s) at all levels but the last is then the energy that `dsm` learns, up to a constant.
    """

    def __init__(
        self,
        sampler: Sampler,
        k_steps: int,
        sigma: float | tuple[float, float] | None = None,
        levels: tuple[float, ...] = (),
        l2: float = 0.0,
    ):
        self.sampler, self.k_steps, self.levels, self.l2 = sampler, k_steps, levels, l2
        self.sigma = (sigma, sigma) if isinstance(sigma, float | int) else sigma

    def rungs(self, x: Tensor, generator: Generator) -> tuple[Tensor | None, Tensor]:
        """Of each row the noise level of its energy, (B,) or None, and the gap g (B,) to the noisier x~."""
        if self.sigma is not None:
            return None, log_uniform(x, generator, *self.sigma)
        levels = torch.tensor(self.levels, dtype=x.dtype, device=x.device)
        t = torch.randint(len(levels) - 1, (len(x),), generator=generator, device=x.device)
        return levels[t], (levels[t + 1].square() - levels[t].square()).sqrt()

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        def noise() -> Tensor:
            return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)

        level, gap = self.rungs(x, generator)
        wide = (len(x), *[1] * (x.dim() - 1))
        gap = gap.reshape(wide)
        if level is not None:
            x = x + level.reshape(wide) * noise()
        noisy = x + gap * noise()
        given = {} if level is None else {"sigma": level}

        def tied(u: Tensor) -> Tensor:
            return unwrapped(energy)(noisy + gap * u, **given) + 0.5 * u.flatten(1).square().sum(1)

        u, accepted = torch.zeros_like(x), []
        for _ in range(self.k_steps):
            u, info = self.sampler.step(tied, u, generator)
            if info.accepted is not None:
                accepted.append(info.accepted.float().mean())
        negatives = (noisy + gap * u).detach()
        twice = {} if level is None else {"sigma": torch.cat([level, level])}
        energies = energy(torch.cat([x, negatives]), **twice)
        real, fake = energies[: len(x)], energies[len(x) :]
        loss = real.mean() - fake.mean() + self.l2 * (real.square().mean() + fake.square().mean())
        metrics = figures(energies, len(x))
        if accepted:
            metrics["acceptance"] = float(torch.stack(accepted).mean())
        return LossOutput(loss, metrics)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # chains start afresh at each batch
