"""Exponential families: energies whose partition function is known in closed form."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from ebm.config import Frozen
from ebm.energies.families import FAMILIES, FamilyName
from ebm.errors import BadConfig, BadInput


class ExponentialFamilyConfig(Frozen):
    """`family`: the distribution of each coordinate; of `gaussian`, of the whole row."""

    kind: Literal["exponential_family"] = "exponential_family"
    family: FamilyName = "gaussian"

    @property
    def offers(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]  # it depends on `family`
        words = {"fitted"}
        if self.family in (
            "bernoulli",
            "poisson",
        ):  # nothing that moves by gradients can train or sample them
            words |= {"fitted_only", "binary" if self.family == "bernoulli" else "counts"}
        return frozenset(words)

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return ExponentialFamily(shape, self.family)


class ExponentialFamily(nn.Module):
    """E(x) = -eta . T(x) - log h(x), p(x) = exp(-E(x) - A(eta)): log Z = A(eta), exactly.

    `fit` is maximum likelihood, which matches the moments, E[T(x)] = mean of T over the rows, because grad A(eta) =
    E[T(x)]. An objective may then train the parameters further, or instead; `log_z` follows them. x is (B, *shape),
    flattened; the energy (B,), infinite outside the family's support. See `ebm.energies.families` for T, h and A.

    Source: Brown (1986), Fundamentals of statistical exponential families; Wainwright and Jordan (2008).
    """

    noise_conditional: ClassVar[bool] = False

    def __init__(self, shape: tuple[int, ...], family: FamilyName):
        super().__init__()
        self.shape, self.dim = shape, math.prod(shape)
        if family == "gaussian" and self.dim > 1024:
            raise BadConfig(f"family 'gaussian' has {self.dim}^2 covariances: use 'diagonal_gaussian'")
        self.family = FAMILIES[family](self.dim)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Maximum likelihood from x (N, *shape).

        Raises:
            BadInput: a value outside the support; names row and column.
        """
        flat = x.flatten(1)
        outside = ~self.family.inside(flat)
        if bool(outside.any()):
            row, column = (int(i) for i in outside.nonzero()[0])
            raise BadInput(
                f"row {row}, column {column}: {float(flat[row, column]):g} is outside the support of family "
                f"'{self.family.name}' ({self.family.support}); preprocessing kind 'none' leaves rows as they are",
                row=row,
                column=column,
            )
        self.family.fit(flat.double())

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        del sigma  # of noiseless rows only
        flat = x.flatten(1)
        inside = self.family.inside(flat)
        # A value inside takes the place of one outside, so that gradients are 0 there and not NaN.
        energy = self.family.energy(torch.where(inside, flat, torch.full_like(flat, self.family.within)))
        return torch.where(inside.all(1), energy, math.inf)

    @property
    def log_z(self) -> Tensor:
        """A(eta) = log of the integral, or sum, of exp(-E), ()."""
        return self.family.log_z()

    @torch.no_grad()
    def sample(self, n: int, generator: Generator) -> Tensor:
        """n exact draws (n, *shape)."""
        return self.family.sample(n, generator).reshape(n, *self.shape)
