"""How x moves: samplers of exp(-E), the loop that runs them, and the replay buffer."""

from typing import Annotated

from pydantic import Field

from ebm.samplers.adapt import Adapted, adapt
from ebm.samplers.ancestral import Ancestral, AncestralConfig
from ebm.samplers.annealed import AnnealedLangevin, AnnealedLangevinConfig, anneal
from ebm.samplers.gibbs import Gibbs, GibbsConfig
from ebm.samplers.gradient import energy_and_gradient
from ebm.samplers.hmc import HMC, HMCConfig
from ebm.samplers.langevin import Langevin, LangevinConfig
from ebm.samplers.mala import MALA, MALAConfig
from ebm.samplers.metropolis import Metropolis, MetropolisConfig
from ebm.samplers.preconditioned import Preconditioned, PreconditionedConfig
from ebm.samplers.replay_buffer import ReplayBuffer
from ebm.samplers.replica_exchange import ReplicaExchange, ReplicaExchangeConfig
from ebm.samplers.run import RunResult, Stage, Step, iterate, run, run_stages

SamplerConfig = Annotated[
    LangevinConfig
    | MALAConfig
    | MetropolisConfig
    | HMCConfig
    | ReplicaExchangeConfig
    | PreconditionedConfig
    | GibbsConfig
    | AnnealedLangevinConfig
    | AncestralConfig,
    Field(discriminator="kind"),
]

__all__ = [
    "HMC",
    "MALA",
    "Adapted",
    "Ancestral",
    "AncestralConfig",
    "AnnealedLangevin",
    "AnnealedLangevinConfig",
    "Gibbs",
    "GibbsConfig",
    "HMCConfig",
    "Langevin",
    "LangevinConfig",
    "MALAConfig",
    "Metropolis",
    "MetropolisConfig",
    "Preconditioned",
    "PreconditionedConfig",
    "ReplayBuffer",
    "ReplicaExchange",
    "ReplicaExchangeConfig",
    "RunResult",
    "SamplerConfig",
    "Stage",
    "Step",
    "adapt",
    "anneal",
    "energy_and_gradient",
    "iterate",
    "run",
    "run_stages",
]
