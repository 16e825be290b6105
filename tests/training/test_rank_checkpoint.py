"""Checkpoints of several devices: whenever one of them is killed, the files on disk are those of one step."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, BrokenBarrierError, local
from typing import Any, cast

import pytest
import torch

from ebm.errors import BadArtifact
from ebm.training import checkpoint, rank_checkpoint
from ebm.training.ranks import Ranks


class Killed(Exception):
    pass


class Rank:
    """One of two ranks, each a thread. It is killed before deed number `dies_at` of a save: the write of its file, or
    one of two waits for the other, which waits no more then."""

    size = 2

    def __init__(
        self, rank: int, meetings: Sequence[Barrier] = (), dies_at: int = 0, told: list[bytes] | None = None
    ):
        self.rank, self.first, self.meetings, self.dies_at = rank, rank == 0, list(meetings), dies_at
        self.deeds, self.told = 0, [] if told is None else told

    def deed(self) -> None:
        self.deeds += 1
        if self.deeds == self.dies_at:
            for meeting in self.meetings:  # to come
                meeting.abort()
            raise Killed

    def wait(self) -> None:
        self.deed()
        self.meetings.pop(0).wait(30)

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


write = checkpoint.save


def save(path: Path, step: int, dies: int | None = None, dies_at: int = 0) -> None:
    """Both ranks at once; rank `dies` is killed."""
    meetings, current = [Barrier(2), Barrier(2)], local()

    def counted(file: Path, content: checkpoint.State) -> None:
        current.rank.deed()
        write(file, content)

    def one(rank: int) -> None:
        current.rank = Rank(rank, meetings, dies_at if rank == dies else 0)
        try:
            rank_checkpoint.save(path, state(step, rank), as_ranks(current.rank))
        except (Killed, BrokenBarrierError):  # this one, or the other
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rank_checkpoint.checkpoint, "save", counted)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, range(2)))


def load(path: Path) -> list[checkpoint.State | None]:
    told: list[bytes] = []
    return [rank_checkpoint.load(path, as_ranks(Rank(rank, told=told))) for rank in range(2)]


@pytest.mark.parametrize("dies_at", [1, 2, 3])
@pytest.mark.parametrize("dies", [0, 1])
def test_a_kill_leaves_the_files_of_one_step(dies: int, dies_at: int, tmp_path: Path) -> None:
    path = tmp_path / "term.safetensors"
    save(path, 20)
    save(path, 40, dies, dies_at)
    steps = []
    for rank, found in enumerate(load(path)):
        assert found is not None
        step = found[1]["step"]
        steps.append(step)
        assert found[1] == {"step": step, "rate_scale": 1.0, "devices": 2}
        assert {k: v.tolist() for k, v in found[0].items()} == {
            "energy.w": [step],
            "objective.states": [step, rank],
            "noise": [step, rank],
        }
    assert steps == ([40, 40] if dies_at == 3 else [20, 20])
    save(path, 60)  # and the next one leaves nothing else
    assert [found and found[1]["step"] for found in load(path)] == [60, 60]
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
    save(path, 20, 1, 2)
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
