"""Adversarial training: an energy told data from what a generator makes, which learns to be mistaken for data."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.objectives.chains import unwrapped
from ebm.objectives.frozen import frozen
from ebm.objectives.generator import CodeGenerator, GeneratorConfig
from ebm.objectives.nce import both_figures
from ebm.types import LossOutput


class AdversarialConfig(Frozen):
    """`generator`: what plays against the energy; `r1`: weight of the gradient penalty on data; `rate`: of the
    generator, in that of the energy."""

    kind: Literal["adversarial"] = "adversarial"
    generator: GeneratorConfig = GeneratorConfig()
    r1: float = Field(default=1.0, ge=0)
    rate: float = Field(default=1.0, gt=0)

    def build(self) -> Adversarial:
        return Adversarial(self.generator, self.r1, self.rate)


class Adversarial:
    """mean softplus(-f(x)) + mean softplus(f(G(z))) + r1/2 mean |grad f(x)|^2 for the energy,

    mean softplus(-f(G(z))) for the generator G, z ~ N(0, I), in one backward pass in which each sees the other standing
    still (Goodfellow et al. 2014, with their non-saturating loss; the penalty R1, which lets the game settle:
    Mescheder, Geiger and Nowozin 2018, eq. 9). f is the logit of an energy that has one (kind `discriminator`), and -E
    of any other, which is then pushed up where the generator is and down where data are (Kim and Bengio 2016).

    At the end of the game D is 1/2 wherever the generator makes examples as data are: the energy then says nothing of
    what lies there, and its use is to tell what neither makes. Called with an energy, x (B, ...) and a generator;
    `partner`, made by `prepare`, is G.
    """

    def __init__(self, generator: GeneratorConfig, r1: float = 1.0, rate: float = 1.0):
        self.generator, self.r1, self.partner_rate = generator, r1, rate
        self.partner: CodeGenerator | None = None

    def prepare(self, energy: Any, x: Tensor, generator: Generator) -> None:
        """Makes G for examples like x (N, ...)."""
        del energy
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator, device=generator.device))
        self.partner = self.generator.build(x, seed)

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        if self.partner is None:
            raise RuntimeError("call prepare first")
        fake = self.partner.sample(len(x), generator)
        x = x.detach().requires_grad_(self.r1 > 0)
        logits = _logit(energy, torch.cat([x, fake.detach()]))
        real, made = logits[: len(x)], logits[len(x) :]
        own = F.softplus(-real).mean() + F.softplus(made).mean()
        if self.r1:
            (gradient,) = torch.autograd.grad(real.sum(), x, create_graph=True)
            own = own + 0.5 * self.r1 * gradient.flatten(1).square().sum(1).mean()
        with frozen(unwrapped(energy)):
            others = F.softplus(-_logit(energy, fake)).mean()
        with torch.no_grad():
            energies = -logits
            seen = {
                "d_real": float(torch.sigmoid(real).mean()),
                "d_fake": float(torch.sigmoid(made).mean()),
                "made_spread": float(fake.std(0).mean()),
            }
        return LossOutput(own + others, both_figures(energies, len(x)) | seen)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # the partner holds all there is


def _logit(energy: Any, x: Tensor) -> Tensor:
    """f(x), (B,)."""
    return energy.logit(x) if hasattr(unwrapped(energy), "logit") else -energy(x)
