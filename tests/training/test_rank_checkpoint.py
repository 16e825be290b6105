"""Checkpoints of several devices: whenever one of them is killed, the files on disk are those of one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch

from ebm.errors import BadArtifact
from ebm.training import checkpoint, rank_checkpoint
from ebm.training.ranks import Ranks


class Killed(Exception):
    pass


class Rank:
    """One of two ranks, which the other waits for; it is killed at its wait number `dies_at`."""

    size = 2

    def __init__(self, rank: int, dies_at: int = 0, told: list[bytes] | None = None):
        self.rank, self.first, self.dies_at, self.waits = rank, rank == 0, dies_at, 0
        self.told = [] if told is None else told

    def wait(self) -> None:
        self.waits += 1
        if self.waits == self.dies_at:
            raise Killed

    def from_first(self, content: bytes) -> bytes:
        if self.first:
            self.told.append(content)
            return content
        return self.told.pop(0)


def as_ranks(rank: Rank) -> Ranks:
    return cast(Any, rank)


def state(step: int, rank: int) -> checkpoint.State:
    tensors = {
        "energy.w": torch.tensor([float(step)]),
        "objective.states": torch.tensor([float(step), float(rank)]),
        "noise": torch.tensor([step, rank]),
    }
    return tensors, {"step": step, "rate_scale": 1.0}


def save(path: Path, step: int, dies_at: tuple[int, int] = (0, 0)) -> None:
    """Both ranks, one after the other; rank 0 writes only where rank 1 came to its first wait."""
    for rank in (1, 0):
        try:
            rank_checkpoint.save(path, state(step, rank), as_ranks(Rank(rank, dies_at[rank])))
        except Killed:
            if rank == 1 and dies_at[1] == 1:
                return


def load(path: Path) -> list[checkpoint.State | None]:
    told: list[bytes] = []
    return [rank_checkpoint.load(path, as_ranks(Rank(rank, told=told))) for rank in range(2)]


@pytest.mark.parametrize(
    ("dies_at", "step"),
    [((0, 0), 40), ((0, 1), 20), ((1, 1), 20), ((0, 2), 40), ((2, 0), 40), ((2, 2), 40)],
    ids=[
        "none",
        "1 before 0 writes",
        "both before 0 writes",
        "1 before it tidies",
        "0 after it wrote",
        "both after",
    ],
)
def test_a_kill_leaves_the_files_of_one_step(dies_at: tuple[int, int], step: int, tmp_path: Path) -> None:
    path = tmp_path / "term.safetensors"
    save(path, 20)
    save(path, 40, dies_at)
    for rank, found in enumerate(load(path)):
        assert found is not None
        assert found[1] == {"step": step, "rate_scale": 1.0, "devices": 2}
        assert {k: v.tolist() for k, v in found[0].items()} == {
            "energy.w": [step],
            "objective.states": [step, rank],
            "noise": [step, rank],
        }
    save(path, 60)  # and the next one leaves nothing else
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "term.rank1.step60.safetensors"}


def test_terms_do_not_tidy_away_each_other(tmp_path: Path) -> None:
    names = ("net", "net.1", "network")
    for name in names:
        save(tmp_path / f"{name}.safetensors", 20)
    save(tmp_path / "net.safetensors", 40)
    for name in names:
        assert [found and found[1]["step"] for found in load(tmp_path / f"{name}.safetensors")] == (
            [40, 40] if name == "net" else [20, 20]
        )


def test_without_a_file_of_rank_0_the_run_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "term.safetensors"
    save(path, 20, (0, 1))
    assert [p.name for p in tmp_path.iterdir()] == ["term.rank1.step20.safetensors"]
    assert load(path) == [None, None]


def test_the_missing_part_of_a_rank_is_named(tmp_path: Path) -> None:
    path = tmp_path / "term.safetensors"
    save(path, 20)
    (tmp_path / "term.rank1.step20.safetensors").unlink()
    with pytest.raises(BadArtifact, match=r"term\.rank1\.step20\.safetensors: not a usable checkpoint"):
        load(path)


def test_a_part_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "term.safetensors"
    save(path, 20)
    tensors, facts = state(20, 1)
    checkpoint.save(tmp_path / "term.rank1.step20.safetensors", (tensors, facts | {"devices": 3}))
    with pytest.raises(BadArtifact, match="not of the same run as term.safetensors"):
        load(path)


def test_another_number_of_devices_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "term.safetensors"
    checkpoint.save(path, state(20, 0))  # by one device, as before there could be several
    with pytest.raises(BadArtifact, match="was written by 1 devices, this run has 2; resume with as many"):
        load(path)
