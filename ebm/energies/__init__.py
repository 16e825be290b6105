"""What is learned: modules that map x (B, ...) to an energy (B,), lower for normal data."""

from typing import Annotated

from pydantic import Field

from ebm.energies.conv import ConvConfig, ConvEnergy
from ebm.energies.kernel import KernelConfig, KernelEnergy
from ebm.energies.mlp import MLPConfig, MLPEnergy
from ebm.energies.product import Expert, ProductOfExperts
from ebm.energies.residual import ResidualConfig, ResidualEnergy

EnergyConfig = Annotated[MLPConfig | ConvConfig | ResidualConfig | KernelConfig, Field(discriminator="kind")]

__all__ = [
    "ConvConfig",
    "ConvEnergy",
    "EnergyConfig",
    "Expert",
    "KernelConfig",
    "KernelEnergy",
    "MLPConfig",
    "MLPEnergy",
    "ProductOfExperts",
    "ResidualConfig",
    "ResidualEnergy",
]
