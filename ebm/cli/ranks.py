"""A command that several processes run together, one for every device, and that speaks with one voice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

import typer

from ebm.cli.failure import INTERRUPTED, describe

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ebm.training.config import ModelConfig


class OneVoice:
    """Around the body of the command. `speaks`: whether this is the process that prints; an error in any of them ends
    all, and one line says which."""

    def __init__(self) -> None:
        self.torchrun = "TORCHELASTIC_RUN_ID" in os.environ
        # Before the processes have met: those that another started know it from their environment.
        self.speaks = int(os.environ.get("RANK" if self.torchrun else "LOCAL_RANK") or 0) == 0
        self.peers: Any = None

    def launch(self, settings: ModelConfig, devices: int | None, nodes: int | None) -> Fabric:
        """The devices asked for, or those that torchrun started; returns in every process, once all are there.

        Raises:
            BadConfig: the devices are not there, or the rows of a batch do not divide among them.
        """
        from ebm.training.devices import make_fabric, placement
        from ebm.training.ranks import share_of

        fabric = make_fabric(settings.accelerator, settings.precision, *placement(devices, nodes))
        for term in settings.terms:
            for stage in term.stages:
                share_of(stage, fabric.world_size)  # before other processes are started
        self.speaks = fabric.is_global_zero
        if fabric.world_size > 1:
            from ebm.training.peers import Peers

            # For the processes started here: what torch says of lost connections is not for users.
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
            fabric.launch()
            self.speaks = fabric.is_global_zero
            self.peers = Peers(fabric, _end)
        return fabric

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        # What torchrun starts finds the same faults in every process before they meet; what this process starts
        # comes only as far as that if it found none itself.
        hushed = not self.speaks and (self.peers is not None or self.torchrun)
        if error is None or isinstance(error, typer.Exit):
            if self.peers is not None:
                self.peers.leave()
        elif isinstance(error, Exception):
            line, code = describe(error)
            if self.peers is not None:
                self._tell(error, line, code)
            if hushed:
                raise typer.Exit(code)
        elif isinstance(error, KeyboardInterrupt):
            if self.peers is not None:
                self.peers.tell("interrupted", INTERRUPTED)
            if hushed:
                raise typer.Exit(INTERRUPTED)

    def _tell(self, error: Exception, line: str, code: int) -> None:
        from ebm.errors import EBMError
        from ebm.training.ranks import RankLost

        if isinstance(error, RankLost):
            return self.peers.wait()  # the reason is the other's, and the watch ends this process with it
        mine = self.speaks or isinstance(error, EBMError)  # what all of them find, or this device alone
        if not self.peers.tell(line if mine else f"rank {self.peers.rank}: {line}", code):
            self.peers.wait()


def _end(reason: str, code: int, speaks: bool) -> None:
    if speaks:
        typer.secho(f"error: {' '.join(reason.split())}", err=True, fg="red")
    os._exit(code)  # the main thread may be waiting for the lost one inside a collective operation
