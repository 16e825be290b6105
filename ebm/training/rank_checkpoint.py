"""Checkpoints of a run on several devices: the whole state by rank 0, and what is a rank's own by each of the others.

Beside rank 0's `<term>.safetensors` lie `<term>.rank1.step40.safetensors` and so on. Rank 0 writes when all others have
written, and they drop their older files when it has: whichever of them is killed at whatever time, the files of the
step that rank 0's file names are all there.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load as decode
from safetensors.torch import save as encode

from ebm.errors import BadArtifact
from ebm.training import checkpoint
from ebm.training.ranks import Ranks

OWN = ("objective", "noise")  # chains, and the generator of all noise


def save(path: Path, state: checkpoint.State, ranks: Ranks) -> None:
    """Every rank's part of `state`; one device writes the file alone."""
    tensors, facts = state
    if ranks.size == 1:
        return checkpoint.save(path, state)
    facts = facts | {"devices": ranks.size}
    if not ranks.first:
        own = {name: value for name, value in tensors.items() if name.split(".")[0] in OWN}
        checkpoint.save(_own(path, ranks.rank, facts["step"]), (own, facts))
    ranks.wait()
    if ranks.first:
        checkpoint.save(path, (tensors, facts))
    ranks.wait()
    if not ranks.first:
        for old in path.parent.glob(f"{path.stem}.rank{ranks.rank}.step*"):
            if old != _own(path, ranks.rank, facts["step"]):
                old.unlink(missing_ok=True)


def load(path: Path, ranks: Ranks) -> checkpoint.State | None:
    """What `save` wrote, or None where rank 0 has no file. Only rank 0 needs to see its file.

    Raises:
        BadArtifact: no checkpoint, or one of another number of devices, or a rank's part is missing.
    """
    if ranks.size == 1:
        if not path.exists():
            return None
        tensors, facts = checkpoint.load(path)
    else:
        found = checkpoint.load(path) if ranks.first and path.exists() else None
        told = ranks.from_first(b"" if found is None else json.dumps(found[1]).encode())
        if not told:
            return None
        facts = json.loads(told)
        tensors = decode(ranks.from_first(b"" if found is None else encode(found[0])))
    devices = facts.get("devices", 1)
    if devices != ranks.size:
        raise BadArtifact(
            f"{path}: was written by {devices} devices, this run has {ranks.size}; resume with as many as it began with"
        )
    if not ranks.first:
        file = _own(path, ranks.rank, facts["step"])
        own, theirs = checkpoint.load(file)
        if theirs != facts:
            raise BadArtifact(f"{file}: not of the same run as {path.name}")
        tensors = {k: v for k, v in tensors.items() if k.split(".")[0] not in OWN} | own
    return tensors, facts


def _own(path: Path, rank: int, step: int) -> Path:
    return path.with_name(f"{path.stem}.rank{rank}.step{step}.safetensors")
