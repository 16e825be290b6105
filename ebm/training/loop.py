"""The training loop of one energy: read it top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ebm.data.batches import Batches
from ebm.data.pixels import InMemory, Rows
from ebm.errors import BadArtifact, BadConfig, Cancelled, Diverged
from ebm.training import checkpoint, rank_checkpoint
from ebm.training.config import LoopConfig
from ebm.training.devices import make_fabric
from ebm.training.guards import Guard
from ebm.training.ranks import Ranks
from ebm.types import Objective

OnStep = Callable[[int, int, dict[str, float]], None]
OnLook = Callable[[int, nn.Module], None]
SHOWN = 4096  # rows that an objective may look at before it begins

__all__ = ["OnLook", "OnStep", "Trainer", "make_fabric"]


class Trainer:
    """Minimises `objective` over the parameters of `energy` on data x (N, ...), or on `Rows` that are read as they are
    wanted, while the device computes; holds all the state of the run.

    Everything random comes from generators seeded by `seed`, so that the same seed on the same device gives the same
    weights, and a run resumed from a checkpoint continues bit for bit.

    An objective may bring a `partner`, trained by the same loss, and ask for `labels` (see `ebm.types.Objective`).

    With several devices each of them runs this same loop: one draw of `batch_size` rows is cut among them, noise and
    chains are each one's own, gradients are averaged, and all decide alike when to stop or go back.
    """

    def __init__(
        self,
        energy: nn.Module,
        objective: Objective,
        x: Tensor | Rows,
        config: LoopConfig,
        fabric: Fabric,
        seed: int,
        labels: Tensor | None = None,
    ):
        self.config, self.fabric, self.objective = config, fabric, objective
        self.ranks = Ranks(fabric)
        share = self.ranks.share(config.batch_size)
        # Not wrapped for several devices: chains and inner gradients want the plain module, and `Ranks` averages.
        self.plain = fabric.to_device(energy)
        self.ranks.copy_from_first(energy)
        rows = InMemory(x.to(fabric.device)) if isinstance(x, Tensor) else x
        trained = self.trained()
        self.partner = self._prepare(rows, seed)
        groups: list[dict[str, Any]] = [{"params": list(trained.values()), "factor": 1.0}]
        if self.partner is not None:
            factor = float(getattr(objective, "partner_rate", 1.0))
            groups.append({"params": list(self.partner.parameters()), "factor": factor})
        optimizer = torch.optim.AdamW(
            groups, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
        )
        self.optimizer = cast(torch.optim.Optimizer, fabric.setup_optimizers(optimizer))
        self.labels = self._labels(labels)
        if self.ranks.size > 1 and hasattr(objective, "batch_std"):
            vars(objective)["batch_std"] = self.ranks.std
        self.average = {k: v.detach().clone() for k, v in trained.items()}
        self.augment = None if config.augment is None else config.augment.build()
        draws = torch.Generator().manual_seed(seed)
        ahead = 0 if isinstance(x, Tensor) else 2
        self.batches = Batches(rows, config.batch_size, draws, fabric.device, ahead, share)
        self.noise = torch.Generator(fabric.device).manual_seed(self.ranks.seed(seed + 1))
        self.step, self.rate_scale = 0, 1.0

    def _prepare(self, rows: Rows, seed: int) -> nn.Module | None:
        """What the objective brings with it, on the device and alike on all of them."""
        prepare = getattr(self.objective, "prepare", None)
        if prepare is not None:
            index = torch.linspace(0, len(rows) - 1, min(len(rows), SHOWN)).long()
            x = rows.to_model(rows.take(index).to(self.fabric.device))
            prepare(self.plain, x, torch.Generator(self.fabric.device).manual_seed(seed + 2))
        partner = getattr(self.objective, "partner", None)
        if partner is None:
            return None
        partner = self.fabric.to_device(partner)
        self.ranks.copy_from_first(partner)
        return partner

    def _labels(self, labels: Tensor | None) -> Tensor | None:
        if not getattr(self.objective, "labelled", False):
            return None
        if labels is None:
            raise BadConfig("this objective needs labels: the data have none")
        return labels

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that this stage moves, by name; the others get no gradient.

        Raises:
            BadConfig: `only` names no part of the energy.
        """
        chosen = {}
        parts = {name for name, _ in self.plain.named_children()} | {
            name for name, _ in self.plain.named_parameters(recurse=False)
        }
        for name in self.config.only:
            if name not in parts:
                raise BadConfig(f"'only': the energy has no part '{name}'; parts: {', '.join(sorted(parts))}")
        for name, value in self.plain.named_parameters():
            wanted = not self.config.only or name.split(".")[0] in self.config.only
            value.requires_grad_(wanted)
            if wanted:
                chosen[name] = value
        return chosen

    # -- one step ---------------------------------------------------------------------------------------------------

    def rate(self) -> float:
        """Learning rate of the current step: linear warm-up, then cosine to zero or constant."""
        c = self.config
        warm = min(1.0, (self.step + 1) / (c.warmup_steps + 1))
        decay = 0.5 * (1 + math.cos(math.pi * self.step / c.n_steps)) if c.schedule == "cosine" else 1.0
        return c.learning_rate * warm * decay * self.rate_scale

    def advance(self) -> dict[str, float]:
        """One update; returns its figures, means over the devices. The parameters are untouched where they are not
        finite."""
        c = self.config
        x = self.batches.next()
        if self.augment is not None:
            if x.dim() != 4:
                raise BadConfig(
                    f"'augment' is for images (C, H, W); the data have shape {tuple(x.shape[1:])}"
                )
            x = self.augment(x, self.noise)
        given: dict[str, Any] = {}
        if self.labels is not None:
            given["labels"] = self.labels[self.batches.drawn].to(x.device)
        with self.fabric.autocast():  # of chains and negatives too
            loss, metrics = self.objective(self.plain, x, self.noise, **given)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate() * group["factor"]
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        moved = [value for value in self.plain.parameters() if value.requires_grad]
        beside = [] if self.partner is None else list(self.partner.parameters())
        means = self.ranks.average([*moved, *beside], {"loss": float(loss.detach()), **metrics})
        norm = float(nn.utils.clip_grad_norm_(moved, c.clip))
        if beside:  # clipped by itself: the energy's step must not depend on the size of another network's
            norm = max(norm, float(nn.utils.clip_grad_norm_(beside, c.clip)))
        figures = {**means, "gradient_norm": norm, "learning_rate": self.rate()}
        if math.isfinite(figures["loss"]) and math.isfinite(norm):
            self.optimizer.step()
            decay = min(c.ema, (self.step + 1) / (self.step + 10))  # the average forgets the start quickly
            with torch.no_grad():
                for name, value in self.plain.named_parameters():
                    if name in self.average:
                        self.average[name].lerp_(value, 1 - decay)
        self.step += 1
        return figures

    # -- the run ----------------------------------------------------------------------------------------------------

    def run(
        self,
        *,
        path: Path | None = None,
        resume: bool = False,
        guard: Guard | None = None,
        on_step: OnStep | None = None,
        on_look: OnLook | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> nn.Module:
        """Train to `n_steps` and leave the averaged weights in the energy.

        `on_look` sees the energy with its averaged weights at each quarter of the run but the last. On divergence the
        run goes back to the last good state once, at half the learning rate. A checkpoint at `path` is written every
        `checkpoint_every` steps.

        Raises:
            Diverged: a second time.
            Cancelled: `should_stop()` was true, on whichever device; a checkpoint was written first.
            BadArtifact: `resume` from a file that does not fit this configuration or number of devices.
            RankLost: another device's process has ended.
        """
        guard = guard or Guard()
        try:
            self._run(path, resume, guard, on_step, on_look, should_stop)
        finally:
            self.batches.close()
        self.plain.load_state_dict(self.average, strict=False)
        conclude = getattr(self.objective, "conclude", None)
        if conclude is not None:
            conclude(self.plain)
        return self.plain.requires_grad_(False).eval()

    def _run(
        self,
        path: Path | None,
        resume: bool,
        guard: Guard,
        on_step: OnStep | None,
        on_look: OnLook | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        if resume and path is not None:
            found = rank_checkpoint.load(path, self.ranks)
            if found is not None:
                self.restore(found, str(path))
        good = self.state()
        while self.step < self.config.n_steps:
            figures = self.advance()
            try:
                guard.check(self.step, figures)
            except Diverged as reason:
                if self.rate_scale < 1:
                    raise Diverged(
                        f"{reason}, again after going back to the last good step at half the rate"
                    ) from None
                self.restore(good, "the last good state")
                self.rate_scale = 0.5
                guard.reset()
                continue
            last = self.step == self.config.n_steps
            if on_step is not None and (last or self.step % self.config.log_every == 0):
                on_step(self.step, self.config.n_steps, figures)
            if on_look is not None and not last and self.step % max(1, self.config.n_steps // 4) == 0:
                with self.averaged():
                    on_look(self.step, self.plain)
            stop = self.ranks.any(should_stop is not None and should_stop())
            if last or stop or self.step % self.config.checkpoint_every == 0:
                good = self.state()
                if path is not None:
                    rank_checkpoint.save(path, good, self.ranks)
            if stop and not last:
                raise Cancelled(f"training stopped at step {self.step} of {self.config.n_steps}")

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights stand in the energy for as long as this lasts."""
        live = {k: v.detach().clone() for k, v in self.plain.named_parameters() if k in self.average}
        self.plain.load_state_dict(self.average, strict=False)
        try:
            yield
        finally:
            self.plain.load_state_dict(live, strict=False)

    # -- state ------------------------------------------------------------------------------------------------------

    def state(self) -> checkpoint.State:
        tensors = {
            **checkpoint.put("energy", self.plain.state_dict()),
            **checkpoint.put("average", self.average),
            **checkpoint.put("optimizer", checkpoint.flatten_optimizer(self.optimizer)),
            **checkpoint.put("objective", self.objective.state_dict()),
            "batches": self.batches.state(),
            "noise": self.noise.get_state(),
        }
        if self.partner is not None:
            tensors |= checkpoint.put("partner", self.partner.state_dict())
        return tensors, {"step": self.step, "rate_scale": self.rate_scale}

    def restore(self, state: checkpoint.State, source: str) -> None:
        tensors, facts = state
        try:
            self.plain.load_state_dict(checkpoint.pick(tensors, "energy"))
            self.average = {
                k: v.clone().to(self.fabric.device) for k, v in checkpoint.pick(tensors, "average").items()
            }
            checkpoint.restore_optimizer(self.optimizer, checkpoint.pick(tensors, "optimizer"))
            self.objective.load_state_dict(checkpoint.pick(tensors, "objective"))
            if self.partner is not None:
                self.partner.load_state_dict(checkpoint.pick(tensors, "partner"))
            self.batches.restore(tensors["batches"])
            self.noise.set_state(tensors["noise"])
            self.step, self.rate_scale = int(facts["step"]), float(facts["rate_scale"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise BadArtifact(
                f"{source}: does not fit this configuration ({str(error).splitlines()[0]})"
            ) from None
