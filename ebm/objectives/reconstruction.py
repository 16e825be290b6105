"""Training of an energy's autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.types import LossOutput


class ReconstructionConfig(Frozen):
    """`noise`: the largest sd of noise on the input, or, by `noise_draw` fixed, the one sd; `code_noise`: noise on
    the code, in sd of the code. Both 0 make it a plain autoencoder."""

    kind: Literal["reconstruction"] = "reconstruction"
    needs: ClassVar[frozenset[str]] = frozenset({"autoencoder"})
    noise: float = Field(default=0.5, ge=0)
    noise_draw: Literal["uniform", "fixed"] = "uniform"
    code_noise: float = Field(default=0.1, ge=0)

    def build(self) -> Reconstruction:
        return Reconstruction(self.noise, self.code_noise, self.noise_draw)


class Reconstruction:
    """mean |x - decode(encode(x + s eps) + t sd eps')|^2 / d, s ~ U(0, noise), or noise itself, t = code_noise.

    Noise on the input makes R pull what is off the manifold back to it (Vincent et al. 2010); noise on the code makes
    neighbouring codes decode alike, so that moves of the code stay near the manifold. With fixed small s and nothing on
    the code, (R(x) - x) / s^2 estimates the score function of the noisy data (Alain and Bengio 2014). For
    energies with `encode` and `decode`; only their autoencoder gets a gradient.
    """

    def __init__(self, noise: float, code_noise: float, noise_draw: Literal["uniform", "fixed"] = "uniform"):
        self.noise, self.code_noise, self.noise_draw = noise, code_noise, noise_draw
        # The one statistic of a batch that is no mean over rows: the trainer gives that of all devices' rows together.
        self.batch_std: Callable[[Tensor], Tensor] = _std

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        def normal(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)

        shape = (len(x), *[1] * (x.dim() - 1))
        share = torch.rand(shape, generator=generator, device=x.device, dtype=x.dtype)
        sd = self.noise * (torch.ones_like(share) if self.noise_draw == "fixed" else share)
        code = energy.encode(x + sd * normal(x))
        code = code + self.code_noise * self.batch_std(code.detach()) * normal(code)
        errors = (x - energy.decode(code)).flatten(1).square().mean(1)
        return LossOutput(errors.mean(), {"spread": float(errors.detach().std())})

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # nothing is carried from batch to batch


def _std(x: Tensor) -> Tensor:
    return x.std(0)
