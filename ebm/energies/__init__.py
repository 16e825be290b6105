"""What is learned: modules that map x (B, ...) to an energy (B,), lower for normal data."""

from typing import Annotated

from pydantic import Field

from ebm.energies.boltzmann import BoltzmannConfig, BoltzmannMachine
from ebm.energies.conv import ConvConfig, ConvEnergy
from ebm.energies.dbn import DBNConfig, DeepBeliefNetwork
from ebm.energies.discriminator import DiscriminatorConfig, DiscriminatorEnergy
from ebm.energies.embedding import EmbeddingConfig, EmbeddingEnergy
from ebm.energies.exponential_family import ExponentialFamily, ExponentialFamilyConfig
from ebm.energies.joint import JointConfig, JointEnergy
from ebm.energies.kernel import KernelConfig, KernelEnergy
from ebm.energies.kernel_views import KernelViews, KernelViewsConfig
from ebm.energies.mlp import MLPConfig, MLPEnergy
from ebm.energies.product import Expert, ProductOfExperts
from ebm.energies.rbm import RBMConfig, RestrictedBoltzmannMachine
from ebm.energies.reconstruction import ReconstructionConfig, ReconstructionEnergy
from ebm.energies.residual import ResidualConfig, ResidualEnergy
from ebm.energies.restoration import RestorationConfig, RestorationEnergy
from ebm.energies.row_autoencoder import AutoencoderConfig, RowAutoencoderEnergy
from ebm.energies.score_parametrised import ScoreParametrisedConfig, ScoreParametrisedEnergy
from ebm.energies.shallow import ShallowConfig, ShallowEnergy
from ebm.energies.structured import StructuredConfig, StructuredEnergy
from ebm.energies.unet import UNetConfig, UNetEnergy

EnergyConfig = Annotated[
    MLPConfig
    | AutoencoderConfig
    | ScoreParametrisedConfig
    | ConvConfig
    | ResidualConfig
    | ShallowConfig
    | KernelConfig
    | KernelViewsConfig
    | RBMConfig
    | BoltzmannConfig
    | DBNConfig
    | ExponentialFamilyConfig
    | ReconstructionConfig
    | RestorationConfig
    | UNetConfig
    | DiscriminatorConfig
    | EmbeddingConfig
    | JointConfig
    | StructuredConfig,
    Field(discriminator="kind"),
]

__all__ = [
    "AutoencoderConfig",
    "BoltzmannConfig",
    "BoltzmannMachine",
    "ConvConfig",
    "ConvEnergy",
    "DBNConfig",
    "DeepBeliefNetwork",
    "DiscriminatorConfig",
    "DiscriminatorEnergy",
    "EmbeddingConfig",
    "EmbeddingEnergy",
    "EnergyConfig",
    "Expert",
    "ExponentialFamily",
    "ExponentialFamilyConfig",
    "JointConfig",
    "JointEnergy",
    "KernelConfig",
    "KernelEnergy",
    "KernelViews",
    "KernelViewsConfig",
    "MLPConfig",
    "MLPEnergy",
    "ProductOfExperts",
    "RBMConfig",
    "ReconstructionConfig",
    "ReconstructionEnergy",
    "ResidualConfig",
    "ResidualEnergy",
    "RestorationConfig",
    "RestorationEnergy",
    "RestrictedBoltzmannMachine",
    "RowAutoencoderEnergy",
    "ScoreParametrisedConfig",
    "ScoreParametrisedEnergy",
    "ShallowConfig",
    "ShallowEnergy",
    "StructuredConfig",
    "StructuredEnergy",
    "UNetConfig",
    "UNetEnergy",
]
