"""Runs of a second, one for each objective, that the tests of this folder share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn

from ebm.energies import MLPConfig, ResidualConfig
from ebm.objectives import CDConfig, DSMConfig, PersistentCDConfig
from ebm.samplers import LangevinConfig
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric

CASES: dict[str, tuple[Any, Any]] = {
    "dsm": (ResidualConfig(width=16, depth=2), DSMConfig(sigma_min=0.05, sigma_max=2.0)),
    "persistent_cd": (
        MLPConfig(width=16, depth=2),
        PersistentCDConfig(
            k_steps=3, sampler=LangevinConfig(step_size=0.05), buffer_size=256, fresh="gaussian"
        ),
    ),
    "cd": (MLPConfig(width=16, depth=2), CDConfig(k_steps=3, sampler=LangevinConfig(step_size=0.05))),
}


def rows() -> Tensor:
    g = Generator().manual_seed(0)
    return torch.randn(300, 2, generator=g) @ torch.tensor([[1.0, 0.8], [0.0, 0.4]])


def trainer(name: str = "dsm", objective: Any = None, **settings: Any) -> Trainer:
    config, objective_config = CASES[name]
    torch.manual_seed(0)
    energy = config.build((2,))
    energy.fit(rows())
    loop = LoopConfig(
        **{"n_steps": 60, "batch_size": 32, "checkpoint_every": 20, "warmup_steps": 5} | settings
    )
    return Trainer(energy, objective or objective_config.build(), rows(), loop, make_fabric("cpu"), seed=3)


def weights(energy: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in energy.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
