"""How theta learns: objective(energy, x, generator) -> LossOutput(loss, metrics)."""

from typing import Annotated

from pydantic import Field

from ebm.objectives.adversarial import Adversarial, AdversarialConfig
from ebm.objectives.cd import CDConfig, ContrastiveDivergence
from ebm.objectives.contrast import Contrast, ContrastConfig
from ebm.objectives.dsm import DenoisingScoreMatching, DSMConfig
from ebm.objectives.flow_contrastive import FlowContrastive, FlowContrastiveConfig
from ebm.objectives.greedy import Greedy, GreedyConfig
from ebm.objectives.info_nce import InfoNCE, InfoNCEConfig
from ebm.objectives.joint import JointObjective, JointObjectiveConfig
from ebm.objectives.maximum_likelihood import MaximumLikelihood, MaximumLikelihoodConfig
from ebm.objectives.nce import NCEConfig, NoiseContrastive
from ebm.objectives.pcd import PersistentCD, PersistentCDConfig
from ebm.objectives.reconstruction import Reconstruction, ReconstructionConfig
from ebm.objectives.recovery import Recovery, RecoveryConfig
from ebm.objectives.restoration import Restoration, RestorationConfig
from ebm.objectives.score_matching import ScoreMatching, ScoreMatchingConfig
from ebm.objectives.sliced import SlicedScoreMatching, SlicedScoreMatchingConfig
from ebm.objectives.structured import StructuredObjective, StructuredObjectiveConfig
from ebm.objectives.structured_dsm import StructuredDSM, StructuredDSMConfig

ObjectiveConfig = Annotated[
    CDConfig
    | PersistentCDConfig
    | DSMConfig
    | ContrastConfig
    | ReconstructionConfig
    | RestorationConfig
    | NCEConfig
    | FlowContrastiveConfig
    | AdversarialConfig
    | InfoNCEConfig
    | GreedyConfig
    | MaximumLikelihoodConfig
    | RecoveryConfig
    | ScoreMatchingConfig
    | SlicedScoreMatchingConfig
    | JointObjectiveConfig
    | StructuredObjectiveConfig
    | StructuredDSMConfig,
    Field(discriminator="kind"),
]

__all__ = [
    "Adversarial",
    "AdversarialConfig",
    "CDConfig",
    "Contrast",
    "ContrastConfig",
    "ContrastiveDivergence",
    "DSMConfig",
    "DenoisingScoreMatching",
    "FlowContrastive",
    "FlowContrastiveConfig",
    "Greedy",
    "GreedyConfig",
    "InfoNCE",
    "InfoNCEConfig",
    "JointObjective",
    "JointObjectiveConfig",
    "MaximumLikelihood",
    "MaximumLikelihoodConfig",
    "NCEConfig",
    "NoiseContrastive",
    "ObjectiveConfig",
    "PersistentCD",
    "PersistentCDConfig",
    "Reconstruction",
    "ReconstructionConfig",
    "Recovery",
    "RecoveryConfig",
    "Restoration",
    "RestorationConfig",
    "ScoreMatching",
    "ScoreMatchingConfig",
    "SlicedScoreMatching",
    "SlicedScoreMatchingConfig",
    "StructuredDSM",
    "StructuredDSMConfig",
    "StructuredObjective",
    "StructuredObjectiveConfig",
]
