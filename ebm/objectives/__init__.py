"""How theta learns: objective(energy, x, generator) -> LossOutput(loss, metrics)."""

from typing import Annotated

from pydantic import Field

from ebm.objectives.cd import CDConfig, ContrastiveDivergence
from ebm.objectives.contrast import Contrast, ContrastConfig
from ebm.objectives.dsm import DenoisingScoreMatching, DSMConfig
from ebm.objectives.pcd import PersistentCD, PersistentCDConfig
from ebm.objectives.reconstruction import Reconstruction, ReconstructionConfig
from ebm.objectives.restoration import Restoration, RestorationConfig

ObjectiveConfig = Annotated[
    CDConfig | PersistentCDConfig | DSMConfig | ContrastConfig | ReconstructionConfig | RestorationConfig,
    Field(discriminator="kind"),
]

__all__ = [
    "CDConfig",
    "Contrast",
    "ContrastConfig",
    "ContrastiveDivergence",
    "DSMConfig",
    "DenoisingScoreMatching",
    "ObjectiveConfig",
    "PersistentCD",
    "PersistentCDConfig",
    "Reconstruction",
    "ReconstructionConfig",
    "Restoration",
    "RestorationConfig",
]
