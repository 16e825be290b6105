"""Which devices a training run computes on, as Lightning Fabric sees them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from ebm.errors import BadConfig

ADDRESS = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


def make_fabric(
    accelerator: str = "auto", precision: Any = "32-true", devices: int = 1, nodes: int = 1
) -> Fabric:
    """`devices` of each of `nodes` machines, one process each: gloo between processors, nccl between CUDA devices.

    Nothing is started here: that is `Fabric.launch`, which runs this process's command line once more for every other
    device of the machine, unless torchrun has started them.

    Raises:
        BadConfig: the devices are not on this machine, or the machines do not know where to meet.
    """
    if devices < 1 or nodes < 1:
        raise BadConfig(f"devices and nodes must be at least 1, not {devices} and {nodes}")
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise BadConfig("accelerator: 'cuda' was asked for, but this machine has no CUDA device")
    chosen = "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    if chosen == "cuda" and torch.cuda.device_count() < devices:
        raise BadConfig(
            f"devices: {devices} asked for, but this machine has {torch.cuda.device_count()} of CUDA"
        )
    if precision == "auto":
        precision = "bf16-mixed" if computes_in_bf16(chosen) else "32-true"
    if devices * nodes == 1:
        return Fabric(accelerator=chosen, devices=1, precision=precision)
    missing = [name for name in ADDRESS if name not in os.environ]
    if nodes > 1 and missing and not by_torchrun(os.environ):
        raise BadConfig(f"nodes: {nodes} machines need {', '.join(missing)} in the environment, or torchrun")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces every process
    # Only the launch, the devices and the process group are used of the strategy: see `Ranks.average`.
    return Fabric(
        accelerator=chosen, devices=devices, num_nodes=nodes, precision=precision, strategy=DDPStrategy()
    )


def by_torchrun(environment: Mapping[str, str]) -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in environment


def placement(
    devices: int | None = None, nodes: int | None = None, environment: Mapping[str, str] = os.environ
) -> tuple[int, int]:
    """(devices of a machine, machines): what torchrun started, else what is asked for, 1 where nothing is.

    Raises:
        BadConfig: torchrun started another number.
    """
    if not by_torchrun(environment):
        return devices or 1, nodes or 1
    local, world = int(environment["LOCAL_WORLD_SIZE"]), int(environment["WORLD_SIZE"])
    if local < 1 or world % local:
        raise BadConfig(f"torchrun: {world} processes are not {local} on every machine")
    started = (local, world // local)
    for name, asked, found in zip(("devices", "nodes"), (devices, nodes), started, strict=True):
        if asked is not None and asked != found:
            raise BadConfig(f"{name}: {asked} asked for, but torchrun started {found}")
    return started


def computes_in_bf16(device: str) -> bool:
    """Whether bf16 is faster than float32 there: by AMX or AVX-512 BF16 on a processor, which others only emulate."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    ask = getattr(torch.cpu, "get_capabilities", None)  # torch 2.10 and later
    if ask is None:
        return False
    found = ask()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
