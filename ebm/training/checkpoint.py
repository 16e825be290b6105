"""The whole state of a term's training in one safetensors file, so that a killed run resumes to the same bits."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ebm.errors import BadArtifact

State = tuple[
    dict[str, Tensor], dict[str, Any]
]  # tensors by dotted name, and JSON facts (step, learning-rate scale)


def save(path: Path, state: State) -> None:
    """Write beside and rename, so that a kill leaves the old file or the new one, never half of either."""
    tensors, facts = state
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    save_file({k: v.contiguous() for k, v in tensors.items()}, beside, metadata={"facts": json.dumps(facts)})
    os.replace(beside, path)


def load(path: Path) -> State:
    """Read what `save` wrote.

    Raises:
        BadArtifact: the file is not a checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            return tensors, json.loads(file.metadata()["facts"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BadArtifact(f"{path}: not a usable checkpoint ({error})") from None


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's moments and step counts as `<parameter index>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{k}": v.detach().clone() for i, values in state.items() for k, v in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `flatten_optimizer`; the settings stay those of the configuration."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def pick(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below `prefix.`, without it."""
    return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(prefix + ".")}


def put(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `pick`, as copies."""
    return {f"{prefix}.{k}": v.detach().clone() for k, v in tensors.items()}
