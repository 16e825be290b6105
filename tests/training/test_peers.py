"""The watch on the other processes: every end has one reason, which one of them says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch.distributed as distributed

from ebm.training import peers
from ebm.training.peers import Peers

LONG = 30.0  # seconds until a test that waits in vain fails


class Process:
    """One rank, all of them in this process with one store, and what its watch ended it for."""

    def __init__(self, rank: int, size: int, children: tuple[Any, ...] = ()):
        launcher = SimpleNamespace(procs=list(children))
        fabric = SimpleNamespace(
            global_rank=rank, world_size=size, strategy=SimpleNamespace(launcher=launcher)
        )
        self.launcher, self.ended, self._done = launcher, (), threading.Event()
        self.peers = Peers(cast(Any, fabric), self._end)

    def _end(self, reason: str, code: int, speaks: bool) -> None:
        self.ended = (reason, code, speaks)
        self._done.set()

    def end(self) -> tuple[Any, ...]:
        assert self._done.wait(LONG), "no end came"
        return self.ended


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[distributed.Store]:
    shared = distributed.HashStore()
    monkeypatch.setattr(peers.distributed_c10d, "_get_default_store", lambda: shared)
    monkeypatch.setattr(peers, "POLL", 0.01)
    yield shared


@pytest.mark.usefixtures("store")
def test_the_reason_of_one_ends_all_and_rank_0_says_it() -> None:
    ranks = [Process(rank, 3) for rank in range(3)]
    assert ranks[1].peers.tell("row 3: not a number", 2)
    assert ranks[0].end() == ("row 3: not a number", 2, True)
    assert ranks[2].end() == ("row 3: not a number", 2, False)
    assert not ranks[2].peers.tell("a consequence", 1)  # its end has come already
    assert ranks[1].ended == ()  # which says nothing itself


@pytest.mark.usefixtures("store")
def test_what_all_find_alike_is_said_once() -> None:
    ranks = [Process(rank, 2) for rank in range(2)]
    said = []
    for rank in (1, 0):
        if ranks[rank].peers.tell("bad data", 2) and rank == 0:
            said.append("bad data")  # by the main thread, as the caller raises it
    said += [reason for reason, _, speaks in (r.ended for r in ranks if r.ended) if speaks]
    assert said == ["bad data"]


@pytest.mark.usefixtures("store")
def test_rank_0_ends_the_others_when_all_is_done() -> None:
    ranks = [Process(rank, 3) for rank in range(3)]
    ranks[1].peers.leave()
    ranks[0].peers.leave()
    assert ranks[2].end() == ("done", 0, False)
    assert ranks[0].ended == ranks[1].ended == ()


@pytest.mark.usefixtures("store")
def test_one_that_leaves_before_the_others_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = threading.Semaphore(0)
    look = Peers._look

    def counted(self: Peers) -> Any:
        looks.release()
        return look(self)

    monkeypatch.setattr(Peers, "_look", counted)
    ranks = [Process(rank, 2) for rank in range(2)]
    ranks[1].peers.leave()
    for _ in range(5):
        assert looks.acquire(timeout=LONG)
    assert ranks[0].ended == ()
    ranks[0].peers.leave()


@pytest.mark.usefixtures("store")
def test_a_child_that_is_killed_is_named() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    )
    rank = Process(0, 2, (child,))
    assert rank.end() == ("rank 1 of the training run was killed by SIGKILL", 1, True)
    assert rank.launcher.procs == []  # Fabric's own watch, which kills without a word, has nobody to look at


@pytest.mark.usefixtures("store")
def test_a_child_that_told_its_reason_is_not_called_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(2)"])
    Process(1, 2).peers.tell("no such column", 2)
    child.wait()
    assert Process(0, 2, (child,)).end() == ("no such column", 2, True)


class Gone:
    """The store of a rank 0 that was killed."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("Connection reset by peer")


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.usefixtures("store")
def test_without_rank_0_rank_1_speaks(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.distributed_c10d, "_get_default_store", lambda: Gone())
    process = Process(rank, 3)
    assert process.end() == ("rank 0 of the training run has ended", 1, rank == 1)
    assert not process.peers.tell("a consequence", 1)


@pytest.mark.usefixtures("store")
def test_an_orphan_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(1, 2)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert process.end() == ("rank 0 of the training run has ended", 1, True)
