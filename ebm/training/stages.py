"""One energy through its stages of training, and its weights as they will be stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebm.data.pixels import Rows
from ebm.errors import BadConfig
from ebm.training.config import StageConfig, TermConfig
from ebm.training.loop import Trainer
from ebm.training.ranks import share_of

# (term name, step, n_steps, figures): called every `log_every` steps of each trained term.
OnTermStep = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True)
class Stages:
    """Trains one energy on `rows`, stage by stage; x (N, ...) are as many of them as fit into memory. `labels`
    (N,): as `ebm.types.Objective` says."""

    module: nn.Module
    x: Tensor
    rows: Tensor | Rows
    fabric: Any
    should_stop: Callable[[], bool] | None
    labels: Tensor | None = None

    def run(
        self,
        term: TermConfig,
        seed: int,
        stages: Sequence[StageConfig],
        checkpoints: Path | None = None,
        resume: bool = False,
        on_step: OnTermStep | None = None,
        look: Callable[[str, int, nn.Module], None] | None = None,
    ) -> None:
        """Steps are counted over all stages; a checkpoint belongs to one of them; only the last is looked at."""
        before, total = 0, sum(stage.training.n_steps for stage in stages)
        for i, stage in enumerate(stages):
            name = term.name if i == len(stages) - 1 else f"{term.name}.{i + 1}"

            def report(step: int, _n: int, figures: dict[str, float], done: int = before) -> None:
                if on_step is not None:
                    on_step(term.name, done + step, total, figures)

            def seen(step: int, module: nn.Module, done: int = before) -> None:
                if look is not None:
                    look(term.name, done + step, module)

            objective = share_of(stage, self.fabric.world_size).objective.build()
            parts = self.module, objective, self.rows, stage.training, self.fabric
            trainer = Trainer(*parts, seed + 100 * i, labels=self.labels)
            trainer.run(
                path=None if checkpoints is None else checkpoints / f"{name}.safetensors",
                resume=resume,
                on_step=report,
                on_look=seen if i == len(stages) - 1 else None,
                should_stop=self.should_stop,
            )
            settle = getattr(self.module, "settle", None)
            if settle is not None:
                settle(self.x.to(self.fabric.device))
            before += stage.training.n_steps


@torch.no_grad()
def as_stored(module: nn.Module) -> nn.Module:
    """The module with every number rounded to what float16 holds.

    Raises:
        BadConfig: a number is beyond its range.
    """
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            rounded = value.half().to(value.dtype)
            if not bool(torch.isfinite(rounded).all()):
                raise BadConfig(
                    f"weights: 'float16' cannot hold '{name}', up to {float(value.abs().max()):.3g}"
                )
            value.copy_(rounded)
    return module


def halved(stage: StageConfig) -> StageConfig:
    """For half as many steps, as a fold is trained."""
    loop = stage.training.model_copy(update={"n_steps": max(1, stage.training.n_steps // 2)})
    return stage.model_copy(update={"training": loop})
