"""What data are contrasted with: corruptions of images, (B, C, H, W) in [-1, 1] to the same.

A negative should be wrong in a way that the anomalies to come may be; no negative here knows any of them. `configs/`
say which kinds a model saw, and `benchmarks/images.py` which anomalies resemble them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.negatives import geometry, intensity, mixing, spectrum
from ebm.negatives.latent import latent_moves

__all__ = ["CORRUPTIONS", "DEFAULT", "Negatives", "NegativesConfig"]

Corruption = Callable[[Tensor, Generator], Tensor]
CORRUPTIONS: dict[str, Corruption] = {
    f.__name__: f
    for f in (
        intensity.noise,
        intensity.inversion,
        intensity.threshold,
        intensity.gray,
        intensity.brightness,
        intensity.smooth,
        intensity.blur,
        intensity.erosion,
        geometry.elastic,
        geometry.patch_shuffle,
        geometry.rotate,
        geometry.flip,
        mixing.mixup,
        mixing.mask_mix,
        mixing.cutmix,
        mixing.box_noise,
        mixing.box_constant,
        spectrum.phase,
        spectrum.bands,
        spectrum.low_rank,
    )
}
LATENT = "latent"
# No rotations, no flips and no boxes: data may have them, and faults like them are left to be found.
DEFAULT = {
    LATENT: 3.0,
    "mask_mix": 4.0,
    "elastic": 2.0,
    "patch_shuffle": 2.0,
    "bands": 1.0,
    "phase": 1.0,
    "low_rank": 1.0,
    "noise": 1.0,
    "mixup": 1.0,
    "smooth": 1.0,
    "inversion": 1.0,
    "blur": 1.0,
    "threshold": 1.0,
    "gray": 1.0,
    "erosion": 1.0,
}


def _known(kinds: dict[str, float]) -> dict[str, float]:
    known = {LATENT, *CORRUPTIONS}
    for kind in kinds:
        if kind not in known:
            raise ValueError(f"unknown kind '{kind}'; there are {', '.join(sorted(known))}")
    if not any(kinds.values()):
        raise ValueError("at least one kind needs a weight above 0")
    return kinds


class NegativesConfig(Frozen):
    """`kinds`: weight by kind, see `CORRUPTIONS`; `latent` needs an energy with an autoencoder. `group`: at least so
    many images in a row get the same kind, and are mixed with each other; `snap`: values so near to -1 or 1 become it,
    that traces of an even background do not give negatives away."""

    kinds: Annotated[dict[str, Annotated[float, Field(ge=0)]], AfterValidator(_known)] = DEFAULT
    group: int = Field(default=8, ge=2)
    snap: float = Field(default=0.05, ge=0, lt=1)

    def build(self) -> Negatives:
        return Negatives({k: w for k, w in self.kinds.items() if w}, self.group, self.snap)


class Negatives:
    """Draws a negative for each image of a batch, all by `generator`."""

    def __init__(self, kinds: dict[str, float], group: int, snap: float):
        self.names, self.group, self.snap = list(kinds), group, snap
        self.weights = torch.tensor([float(w) for w in kinds.values()])

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> Tensor:
        """x (B, C, H, W) -> (B, C, H, W), no gradient.

        Raises:
            BadConfig: x are no images, or kind `latent` with an energy that has no autoencoder.
        """
        if x.dim() != 4:
            raise BadConfig(f"corruptions are of images (C, H, W); the data have shape {tuple(x.shape[1:])}")
        if LATENT in self.names and not hasattr(energy, "encode"):
            raise BadConfig(
                "negatives of kind 'latent' need an energy with an autoencoder (kind: reconstruction)"
            )
        weights = self.weights.to(x.device)
        groups = max(1, len(x) // self.group)
        drawn = torch.multinomial(weights, groups, replacement=True, generator=generator).tolist()
        order = torch.randperm(len(x), generator=generator, device=x.device)
        parts = []
        for which, part in zip(drawn, x[order].tensor_split(groups), strict=True):
            name = self.names[which]
            moved = (
                latent_moves(part, energy, generator)
                if name == LATENT
                else CORRUPTIONS[name](part, generator)
            )
            parts.append(moved.to(x.dtype))
        return torch.cat(parts)

    def snapped(self, x: Tensor) -> Tensor:
        """x with what is within `snap` of -1 or 1 put there."""
        if not self.snap:
            return x
        return torch.where(x.abs() > 1 - self.snap, x.sign(), x)
