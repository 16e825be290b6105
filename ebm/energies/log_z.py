"""The learnt constant of an energy, kept beside its weights: log p(x) = -E(x) - log Z.

Few objectives learn it, so it is a buffer `learnt_log_z`, of shape (), that an energy has only where it is known. Where
stored weights have one, loading makes room for it; weights from before there was such a thing load as they did.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

NAME = "learnt_log_z"


def keep(energy: nn.Module, log_z: float) -> None:
    """Write log Z of the energy as it is now; later training of its weights makes it wrong, see `forget`."""
    device = next((p.device for p in energy.parameters()), torch.device("cpu"))
    forget(energy)
    energy.register_buffer(NAME, torch.tensor(log_z, dtype=torch.float32, device=device))
    expect(energy)


def known(energy: nn.Module) -> float | None:
    """log Z where an objective has learnt it, else None."""
    value = energy._buffers.get(NAME)
    return None if value is None else float(value)


def forget(energy: nn.Module) -> None:
    """Drop it, as everything that moves the weights again must."""
    energy._buffers.pop(NAME, None)
    energy._non_persistent_buffers_set.discard(NAME)


def expect(energy: nn.Module) -> nn.Module:
    """Lets an energy load weights with log Z and without (which makes it unknown again); returns the energy."""
    hooks = energy._load_state_dict_pre_hooks.values()
    if not any(getattr(hook, "hook", None) is _make_room for hook in hooks):
        energy.register_load_state_dict_pre_hook(_make_room)
    return energy


def _make_room(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    stored = state.get(prefix + NAME)
    if stored is None:
        forget(module)
    elif NAME not in module._buffers:
        device = next((p.device for p in module.parameters()), stored.device)
        module.register_buffer(NAME, torch.zeros((), dtype=torch.float32, device=device))
