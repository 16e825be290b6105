"""A checkpoint comes back to the bit, and a failed write leaves the one before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ebm.errors import BadArtifact
from ebm.training import checkpoint

STATE: checkpoint.State = (
    {"energy.w": torch.tensor([1.0, 2.0]), "noise": torch.Generator().manual_seed(3).get_state()},
    {"step": 40, "rate_scale": 0.5},
)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "term.safetensors"
    checkpoint.save(path, STATE)
    tensors, facts = checkpoint.load(path)
    assert facts == STATE[1]
    assert tensors.keys() == STATE[0].keys()
    assert all(torch.equal(tensors[k], v) and tensors[k].dtype == v.dtype for k, v in STATE[0].items())
    assert [p.name for p in path.parent.iterdir()] == ["term.safetensors"]


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "term.safetensors"
    checkpoint.save(path, STATE)

    def half(tensors: object, file: Path, metadata: object) -> None:
        del tensors, metadata
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, ({"energy.w": torch.zeros(2)}, {"step": 60, "rate_scale": 1.0}))
    assert checkpoint.load(path)[1]["step"] == 40


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\xff" * 8, None])
def test_a_file_that_is_no_checkpoint_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "term.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadArtifact, match=r"term\.safetensors: not a usable checkpoint"):
        checkpoint.load(path)


def test_weights_without_the_facts_are_no_checkpoint(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"energy.w": torch.zeros(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(BadArtifact, match="not a usable checkpoint"):
        checkpoint.load(tmp_path / "weights.safetensors")


def test_a_restored_optimizer_goes_on_as_the_old_one() -> None:
    def steps(module: nn.Linear, optimizer: torch.optim.Optimizer, n: int) -> None:
        for i in range(n):
            optimizer.zero_grad()
            module(torch.full((1, 3), float(i + 1))).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    old = nn.Linear(3, 2)
    first = torch.optim.AdamW(old.parameters(), lr=0.1)
    steps(old, first, 3)
    new = nn.Linear(3, 2)
    new.load_state_dict(old.state_dict())
    second = torch.optim.AdamW(new.parameters(), lr=0.1)
    checkpoint.restore_optimizer(second, checkpoint.flatten_optimizer(first))
    before = old.weight.detach().clone()
    steps(old, first, 2)
    steps(new, second, 2)
    assert torch.equal(old.weight, new.weight) and not torch.equal(old.weight, before)


def test_a_state_in_memory_does_not_change_with_the_weights() -> None:
    weights = {"w": torch.zeros(2), "wide": torch.ones(2)}
    held = checkpoint.put("energy", weights) | {"energy2.w": torch.ones(1)}
    weights["w"] += 1
    assert torch.equal(checkpoint.pick(held, "energy")["w"], torch.zeros(2))
    assert checkpoint.pick(held, "energy").keys() == weights.keys()
