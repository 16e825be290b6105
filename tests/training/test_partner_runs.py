"""Objectives with partners in the training loop: resumed to the same bits, moved, and left with what they learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import rows, same, weights

from ebm.energies import DiscriminatorConfig, EmbeddingConfig, MLPConfig, log_z
from ebm.errors import Cancelled
from ebm.objectives import AdversarialConfig, FlowContrastiveConfig, InfoNCEConfig, NCEConfig
from ebm.objectives.flow import FlowConfig
from ebm.objectives.generator import GeneratorConfig
from ebm.objectives.noise import MixtureNoiseConfig
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric

CASES: dict[str, tuple[Any, Any]] = {
    "nce": (MLPConfig(width=8, depth=1), NCEConfig(noise=MixtureNoiseConfig(components=2))),
    "flow_contrastive": (
        MLPConfig(width=8, depth=1),
        FlowContrastiveConfig(flow=FlowConfig(transforms=1, hidden=(8,)), warmup=15),
    ),
    "adversarial": (
        DiscriminatorConfig(width=8, depth=1),
        AdversarialConfig(generator=GeneratorConfig(code=2, width=8, depth=1)),
    ),
    "info_nce": (EmbeddingConfig(width=8, depth=1, dim=4, n_bank=50), InfoNCEConfig()),
}


def trainer(name: str, **settings: Any) -> Trainer:
    config, objective = CASES[name]
    torch.manual_seed(0)
    energy = config.build((2,))
    energy.fit(rows())
    given: dict[str, Any] = {
        "n_steps": 30,
        "batch_size": 32,
        "checkpoint_every": 10,
        "warmup_steps": 2,
    } | settings
    return Trainer(energy, objective.build(), rows(), LoopConfig(**given), make_fabric("cpu"), seed=3)


def everything(run: Trainer) -> dict[str, torch.Tensor]:
    beside = {} if run.partner is None else run.partner.state_dict()
    return weights(run.plain) | {f"partner.{k}": v.clone() for k, v in beside.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_stopped_run_resumes_to_the_same_bits(name: str, tmp_path: Path) -> None:
    whole = trainer(name)
    start = everything(whole)
    whole.run()
    path, first = tmp_path / "term.safetensors", trainer(name)
    with pytest.raises(Cancelled):
        first.run(path=path, should_stop=lambda: first.step >= 13)
    second = trainer(name)
    second.run(path=path, resume=True)
    found = everything(whole)
    assert same(found, everything(second))
    moved = {k for k in start if not torch.equal(start[k], found[k])}
    if name != "info_nce":
        assert any(k.startswith("partner.") for k in moved)
    assert any(not k.startswith("partner.") for k in moved)
    assert (log_z.known(second.plain) is not None) == (name in ("nce", "flow_contrastive"))


def test_later_training_makes_a_learnt_constant_unknown() -> None:
    energy = trainer("nce").run()
    assert log_z.known(energy) is not None
    settings = LoopConfig(n_steps=2, batch_size=32)
    objective = CASES["adversarial"][1].build()
    Trainer(energy, objective, rows(), settings, make_fabric("cpu"), seed=3).run()
    assert log_z.known(energy) is None
