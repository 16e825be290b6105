"""One network for two questions: which class a row is of, and whether it is of any."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import BeforeValidator, Field, field_validator
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.body import ConvBody, MLPBody
from ebm.energies.restoration import require_images
from ebm.energies.scalar import ScalarEnergy


def _name(value: object) -> object:
    """Labels are compared as text, so 3 and "3" are the same class."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ClassName = Annotated[str, BeforeValidator(_name), Field(min_length=1)]


class JointConfig(Frozen):
    """`classes`: the labels that the data have, in the order of the answers. A multilayer perceptron of `depth` layers
    of `width` units; or of images, where `widths` are given, convolutions as those of energy kind 'conv'. `base`: adds
    a growing Gaussian energy fitted to the data, alike to all classes."""

    kind: Literal["joint"] = "joint"
    offers: ClassVar[frozenset[str]] = frozenset({"classes"})
    classes: tuple[ClassName, ...] = Field(min_length=2)
    width: int = Field(default=128, ge=1)
    depth: int = Field(default=3, ge=1)
    widths: tuple[Annotated[int, Field(ge=1)], ...] = ()
    base: Literal["none", "gaussian"] = "gaussian"

    @field_validator("classes")
    @classmethod
    def _different(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        for name in classes:
            if classes.count(name) > 1:
                raise ValueError(f"class '{name}' is named twice")
        return classes

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return JointEnergy(shape, self)


class JointEnergy(ScalarEnergy):
    """E(x, y) = base(x) - f(x)[y], and E(x) = -log sum_y exp(-E(x, y)) = base(x) - logsumexp_y f(x)[y].

    f is any classifier: p(y | x) = softmax_y f(x) is what its logits mean already, and their level, which cross-entropy
    leaves open, is that of log p(x) (Grathwohl et al. 2020, "Your classifier is secretly an energy based model"). The
    base is the same for all classes, hence has no part in p(y | x). Implements `ebm.classify.JointEnergy`.

    x is (B, *shape), normalised by the base's mean and spread; E(x) is (B,), E(x, y) of all K classes (B, K). Train it
    by objective `joint`.

    Raises:
        BadConfig: convolutions (`widths`) of rows that are no images.
    """

    def __init__(self, shape: tuple[int, ...], config: JointConfig):
        super().__init__(shape, False, config.base)
        self.classes = config.classes
        n = len(config.classes)
        self.body: nn.Module
        if config.widths:
            require_images(config.kind, shape)
            self.body = ConvBody(shape[0], n, config.widths, False)
        else:
            self.body = MLPBody(self.dim, n, config.width, config.depth, False)
        self.by_image = bool(config.widths)

    def logits(self, x: Tensor) -> Tensor:
        """f: x (B, d) normalised -> (B, K)."""
        return self.body(x.reshape(-1, *self.shape) if self.by_image else x, None)

    def network(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        del sigma  # of noiseless data only
        return -torch.logsumexp(self.logits(x), 1, keepdim=True)

    def class_energies(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        """E(x, y): x (B, *shape) -> (B, K)."""
        del sigma
        flat = x.flatten(1)
        energies = -self.logits((flat - self.scale.mean) / self.scale.variance.sqrt())
        if self.use_base:
            energies = energies + self.scale(flat, flat.new_zeros(len(flat), 1))[:, None]
        return energies
