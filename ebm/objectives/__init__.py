"""How theta learns: objective(energy, x, generator) -> LossOutput(loss, metrics)."""

from typing import Annotated

from pydantic import Field

from ebm.objectives.cd import CDConfig, ContrastiveDivergence
from ebm.objectives.dsm import DenoisingScoreMatching, DSMConfig
from ebm.objectives.pcd import PersistentCD, PersistentCDConfig

ObjectiveConfig = Annotated[CDConfig | PersistentCDConfig | DSMConfig, Field(discriminator="kind")]

__all__ = [
    "CDConfig",
    "ContrastiveDivergence",
    "DSMConfig",
    "DenoisingScoreMatching",
    "ObjectiveConfig",
    "PersistentCD",
    "PersistentCDConfig",
]
