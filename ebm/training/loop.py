"""The training loop of one energy: read it top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ebm.data.batches import Batches
from ebm.data.pixels import InMemory, Rows
from ebm.errors import BadArtifact, BadConfig, Cancelled, Diverged
from ebm.training import checkpoint
from ebm.training.config import LoopConfig
from ebm.training.guards import Guard
from ebm.types import Objective

OnStep = Callable[[int, int, dict[str, float]], None]
OnLook = Callable[[int, nn.Module], None]


class Trainer:
    """Minimises `objective` over the parameters of `energy` on data x (N, ...), or on `Rows` that are read as they are
    wanted, while the device computes; holds all the state of the run.

    Everything random comes from generators seeded by `seed`, so that the same seed on the same device gives the same
    weights, and a run resumed from a checkpoint continues bit for bit.
    """

    def __init__(
        self,
        energy: nn.Module,
        objective: Objective,
        x: Tensor | Rows,
        config: LoopConfig,
        fabric: Fabric,
        seed: int,
    ):
        self.config, self.fabric, self.objective = config, fabric, objective
        self.plain = energy
        trained = self.trained()
        optimizer = torch.optim.AdamW(
            trained.values(), lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
        )
        self.module, self.optimizer = fabric.setup(energy, optimizer)
        for method in ("gradient", "restore", "encode", "decode"):
            if hasattr(energy, method):
                self.module.mark_forward_method(method)
        self.average = {k: v.detach().clone() for k, v in trained.items()}
        self.augment = None if config.augment is None else config.augment.build()
        draws = torch.Generator().manual_seed(seed)
        resident = isinstance(x, Tensor)
        rows = InMemory(x.to(fabric.device)) if resident else x
        self.batches = Batches(rows, config.batch_size, draws, fabric.device, 0 if resident else 2)
        self.noise = torch.Generator(fabric.device).manual_seed(seed + 1)
        self.step, self.rate_scale = 0, 1.0

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
        """One update; returns its figures. The parameters are untouched where they are not finite."""
        c = self.config
        x = self.batches.next()
        if self.augment is not None:
            if x.dim() != 4:
                raise BadConfig(
                    f"'augment' is for images (C, H, W); the data have shape {tuple(x.shape[1:])}"
                )
            x = self.augment(x, self.noise)
        # On one device the wrapper only forbids the inner gradient of score matching; several need it to add theirs up.
        energy = self.module if self.fabric.world_size > 1 else self.plain
        with self.fabric.autocast():  # of chains and negatives too, which never run on the wrapper
            loss, metrics = self.objective(energy, x, self.noise)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        moved = [value for value in self.plain.parameters() if value.requires_grad]
        norm = float(nn.utils.clip_grad_norm_(moved, c.clip))
        figures = {
            "loss": float(loss.detach()),
            **metrics,
            "gradient_norm": norm,
            "learning_rate": self.rate(),
        }
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
            Cancelled: `should_stop()` was true; a checkpoint was written first.
            BadArtifact: `resume` from a file that does not fit this configuration.
        """
        guard = guard or Guard()
        try:
            self._run(path, resume, guard, on_step, on_look, should_stop)
        finally:
            self.batches.close()
        self.plain.load_state_dict(self.average, strict=False)
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
        if resume and path is not None and path.exists():
            self.restore(checkpoint.load(path), str(path))
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
            stop = should_stop is not None and should_stop()
            if last or stop or self.step % self.config.checkpoint_every == 0:
                good = self.state()
                if path is not None:
                    checkpoint.save(path, good)
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
            self.batches.restore(tensors["batches"])
            self.noise.set_state(tensors["noise"])
            self.step, self.rate_scale = int(facts["step"]), float(facts["rate_scale"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise BadArtifact(
                f"{source}: does not fit this configuration ({str(error).splitlines()[0]})"
            ) from None


def make_fabric(accelerator: str = "auto", precision: Any = "32-true") -> Fabric:
    """One device, as Lightning Fabric sees it.

    Raises:
        BadConfig: the accelerator is not on this machine.
    """
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise BadConfig("accelerator: 'cuda' was asked for, but this machine has no CUDA device")
    chosen = "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    if precision == "auto":
        precision = "bf16-mixed" if computes_in_bf16(chosen) else "32-true"
    return Fabric(accelerator=chosen, devices=1, precision=precision)


def computes_in_bf16(device: str) -> bool:
    """Whether bf16 is faster than float32 there: by AMX or AVX-512 BF16 on a processor, which others only emulate."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    ask = getattr(torch.cpu, "get_capabilities", None)  # torch 2.10 and later
    if ask is None:
        return False
    found = ask()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
