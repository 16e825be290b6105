"""The families of energy kind `exponential_family`, by name."""

from __future__ import annotations

from typing import Literal

from ebm.energies.families.base import Family
from ebm.energies.families.discrete import Bernoulli, Poisson
from ebm.energies.families.interval import Beta, VonMises
from ebm.energies.families.positive import Exponential, Gamma
from ebm.energies.families.real import DiagonalGaussian, Gaussian, Laplace

FamilyName = Literal[
    "gaussian",
    "diagonal_gaussian",
    "laplace",
    "gamma",
    "exponential",
    "beta",
    "von_mises",
    "bernoulli",
    "poisson",
]
FAMILIES: dict[str, type[Family]] = {
    family.name: family
    for family in (
        Gaussian,
        DiagonalGaussian,
        Laplace,
        Gamma,
        Exponential,
        Beta,
        VonMises,
        Bernoulli,
        Poisson,
    )
}

__all__ = ["FAMILIES", "Family", "FamilyName"]
