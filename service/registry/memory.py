"""How much memory a detector takes, and which to give up for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ebm.detector import Detector
from service.registry.store import Key


def size_of(detector: Detector) -> int:
    """Bytes of all arrays that a detector holds: parameters, buffers, kernel centres, calibration scores, each once."""
    seen: dict[int, int] = {}

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, np.ndarray):
            seen[value.__array_interface__["data"][0]] = value.nbytes
        elif isinstance(value, list | tuple):
            for item in value:
                add(item)

    for module in detector.energy.modules():
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            add(tensor)
        for value in vars(module).values():  # what a module keeps beside its registered tensors
            add(value)
    for holder in (detector.sampling, detector.calibration):
        for value in vars(holder).values() if holder is not None and hasattr(holder, "__dict__") else ():
            add(value)
    add(list(detector.preprocessor.arrays().values()))
    return sum(seen.values())


def to_evict(sizes: Mapping[Key, int], used: Mapping[Key, int], limit: int) -> list[Key]:
    """The least recently used, until the rest fits `limit` bytes; never the one used last.

    `used` counts uses: the higher, the more recent.
    """
    total, chosen = sum(sizes.values()), []
    for key in sorted(sizes, key=lambda one: used.get(one, 0))[:-1]:
        if total <= limit:
            break
        chosen.append(key)
        total -= sizes[key]
    return chosen
