"""What the processes of one training run tell each other. With one process, none of this does anything.

Rank r of n holds device r of n. All hold the same weights and compute on different rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn

from ebm.errors import BadConfig, EBMError
from ebm.training.config import StageConfig


class RankLost(EBMError):
    """Another process of the run has ended, so that this one cannot go on."""


class Ranks:
    """The collective operations of a run, each of which every rank must come to.

    Raises:
        RankLost: by all of them, where another process has ended.
    """

    def __init__(self, fabric: Fabric):
        self.rank, self.size, self.device = fabric.global_rank, fabric.world_size, fabric.device

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and speaks."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """Of this rank's own noise; rank 0's is `seed`, as with one device."""
        if self.first:
            return seed
        # Not seed + rank * 2^32 or the like: torch's generator on the CPU takes only the low 32 bits.
        return int(np.random.SeedSequence(seed, spawn_key=(self.rank,)).generate_state(1)[0])

    def share(self, batch_size: int) -> slice:
        """This rank's rows of a batch.

        Raises:
            BadConfig: the rows do not divide.
        """
        each = divided("batch_size", batch_size, self.size)
        return slice(self.rank * each, (self.rank + 1) * each)

    def average(self, parameters: Sequence[nn.Parameter], figures: dict[str, float]) -> dict[str, float]:
        """Makes each gradient its mean over the ranks; returns the means of `figures`.

        As every loss is a mean over rows and every rank has equally many, this gives the gradient of the whole batch.
        By hand and in one message, not by DistributedDataParallel: score matching differentiates twice, and leaves
        parameters without a gradient that the forward pass has used (an energy's last bias), for which that would wait.
        """
        if self.size == 1:
            return figures
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        logged = torch.tensor(list(figures.values()), dtype=torch.float32, device=self.device)
        flat = torch.cat([*(g.flatten().to(logged) for g in gradients), logged])
        _together(distributed.all_reduce, flat)
        flat /= self.size
        parts = flat.split([*(g.numel() for g in gradients), len(logged)])
        for parameter, mean in zip(parameters, parts, strict=False):
            if parameter.grad is not None:
                parameter.grad.copy_(mean.view_as(parameter))
        return dict(zip(figures, parts[-1].tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Whether it is so on some rank."""
        if self.size == 1:
            return flag
        found = torch.tensor(float(flag), device=self.device)
        _together(distributed.all_reduce, found, distributed.ReduceOp.MAX)
        return bool(found)

    def alike(self, digest: bytes) -> bool:
        """Whether all ranks have the same bytes."""
        return not self.any(self.from_first(digest) != digest)

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            self.any(False)

    def from_first(self, content: bytes) -> bytes:
        """Rank 0's bytes, on every rank."""
        if self.size == 1:
            return content
        n = torch.tensor(len(content), device=self.device)
        _together(distributed.broadcast, n, 0)
        buffer = torch.zeros(int(n), dtype=torch.uint8)
        if self.first and content:
            buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        buffer = buffer.to(self.device)
        if len(buffer):
            _together(distributed.broadcast, buffer, 0)
        return buffer.cpu().numpy().tobytes()

    def copy_from_first(self, module: nn.Module) -> None:
        """Rank 0's parameters and buffers, on every rank."""
        if self.size == 1:
            return
        for value in module.state_dict().values():
            if value.numel():
                plain = (
                    value.detach().contiguous()
                )  # as messages must be, and weights of convolutions may not
                _together(distributed.broadcast, plain, 0)
                value.detach().copy_(plain)

    def std(self, x: Tensor) -> Tensor:
        """Standard deviation (...) of the rows x (B, ...) of all ranks together, equally many of each."""
        if self.size == 1:
            return x.std(0)
        mean = x.mean(0)
        _together(distributed.all_reduce, mean)
        squares = (x - mean / self.size).square().sum(0)
        _together(distributed.all_reduce, squares)
        return (squares / (len(x) * self.size - 1)).sqrt()


def _together(operation: Callable[..., Any], *arguments: Any) -> None:
    try:
        operation(*arguments)
    except RuntimeError as error:  # of gloo and nccl: closed connections, time-outs
        reason = str(error).splitlines()[0][:200]
        raise RankLost(f"another process of this training run has ended ({reason})") from None


def divided(name: str, total: int, size: int) -> int:
    """total / size.

    Raises:
        BadConfig: it is not a whole number.
    """
    if total % size:
        raise BadConfig(f"'{name}' {total} does not divide among {size} devices")
    return total // size


def share_of(stage: StageConfig, size: int) -> StageConfig:
    """One rank's part of a stage whose configuration is for all `size` of them: its chains; rows are `Ranks.share`.

    Raises:
        BadConfig: rows or chains do not divide, or leave a rank less than two rows, which have no spread; or the
            objective compares the rows of a batch with each other.
    """
    if size == 1:
        return stage
    if getattr(stage.objective, "one_device", False):
        raise BadConfig(
            f"objective kind '{stage.objective.kind}' compares the rows of a batch with each other: "
            f"it trains on one device, not on {size}"
        )
    if divided("batch_size", stage.training.batch_size, size) < 2:
        raise BadConfig(
            f"'batch_size' {stage.training.batch_size}: {size} devices need at least two rows each"
        )
    return stage.model_copy(update={"objective": _own_chains(stage.objective, size)})


def _own_chains(objective: Any, size: int) -> Any:
    """Its share of the chains, of an objective within it too."""
    density, chains = getattr(objective, "density", None), getattr(objective, "buffer_size", None)
    if density is not None:
        objective = objective.model_copy(update={"density": _own_chains(density, size)})
    if chains is not None:
        objective = objective.model_copy(update={"buffer_size": divided("buffer_size", chains, size)})
    return objective
