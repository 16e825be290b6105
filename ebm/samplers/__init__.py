"""How x moves: samplers of exp(-E), the loop that runs them, and the replay buffer."""

from typing import Annotated

from pydantic import Field

from ebm.samplers.ancestral import Ancestral, AncestralConfig
from ebm.samplers.annealed import AnnealedLangevin, AnnealedLangevinConfig, anneal
from ebm.samplers.gradient import energy_and_gradient
from ebm.samplers.langevin import Langevin, LangevinConfig
from ebm.samplers.mala import MALA, MALAConfig
from ebm.samplers.replay_buffer import ReplayBuffer
from ebm.samplers.run import RunResult, Stage, Step, iterate, run, run_stages

SamplerConfig = Annotated[
    LangevinConfig | MALAConfig | AnnealedLangevinConfig | AncestralConfig,
    Field(discriminator="kind"),
]

__all__ = [
    "MALA",
    "Ancestral",
    "AncestralConfig",
    "AnnealedLangevin",
    "AnnealedLangevinConfig",
    "Langevin",
    "LangevinConfig",
    "MALAConfig",
    "ReplayBuffer",
    "RunResult",
    "SamplerConfig",
    "Stage",
    "Step",
    "anneal",
    "energy_and_gradient",
    "iterate",
    "run",
    "run_stages",
]
