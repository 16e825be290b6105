"""Which devices are asked for, and what each of them gets of a configuration."""

from __future__ import annotations

import pytest
import torch

from ebm.errors import BadConfig
from ebm.objectives import DSMConfig, PersistentCDConfig
from ebm.training.config import LoopConfig, StageConfig
from ebm.training.devices import make_fabric, placement
from ebm.training.ranks import Ranks, share_of

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "3"}


def one() -> Ranks:
    return Ranks(make_fabric("cpu"))


def test_as_many_as_asked_for_or_as_torchrun_started() -> None:
    assert placement(environment={"WORLD_SIZE": "6"}) == (1, 1)
    assert placement(4, 2, environment={}) == (4, 2)
    assert placement(environment=TORCHRUN) == (3, 2)
    assert placement(3, environment=TORCHRUN) == (3, 2)
    with pytest.raises(BadConfig, match="devices: 2 asked for, but torchrun started 3"):
        placement(2, environment=TORCHRUN)
    with pytest.raises(BadConfig, match="nodes: 1 asked for, but torchrun started 2"):
        placement(None, 1, environment=TORCHRUN)
    with pytest.raises(BadConfig, match="6 processes are not 4 on every machine"):
        placement(environment=TORCHRUN | {"LOCAL_WORLD_SIZE": "4"})


def test_machines_need_to_know_where_to_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    for name in ("MASTER_PORT", "NODE_RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadConfig, match="nodes: 2 machines need MASTER_PORT, NODE_RANK in the environment"):
        make_fabric("cpu", nodes=2)
    with pytest.raises(BadConfig, match="at least 1, not 0 and 1"):
        make_fabric("cpu", devices=0)


def test_devices_that_are_not_there_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(BadConfig, match="devices: 2 asked for, but this machine has 1 of CUDA"):
        make_fabric("auto", devices=2)


def stage(rows: int, chains: int | None = None) -> StageConfig:
    objective = DSMConfig() if chains is None else PersistentCDConfig(buffer_size=chains)
    return StageConfig(objective=objective, training=LoopConfig(batch_size=rows))


def test_rows_and_chains_are_shared_out() -> None:
    whole = stage(12, 96)
    assert share_of(whole, 1) is whole
    part = share_of(whole, 3)
    assert part.objective.buffer_size == 32  # type: ignore[union-attr]
    assert part.training == whole.training  # of all devices: each takes its rows of it
    ranks, seen = one(), []
    ranks.size = 3
    for ranks.rank in range(3):
        seen += list(range(12))[ranks.share(12)]
    assert seen == list(range(12))


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (stage(128), "'batch_size' 128 does not divide among 3 devices"),
        (stage(96, 100), "'buffer_size' 100 does not divide among 3 devices"),
        (stage(3), "'batch_size' 3: 3 devices need at least two rows each"),
    ],
)
def test_what_cannot_be_shared_out_is_named(whole: StageConfig, reason: str) -> None:
    with pytest.raises(BadConfig, match=reason):
        share_of(whole, 3)


def test_every_rank_draws_noise_of_its_own() -> None:
    ranks = one()
    assert ranks.seed(7) == 7  # what one device draws, as ever
    draws = []
    for ranks.rank in range(4):
        for seed in (7, 8):
            g = torch.Generator().manual_seed(ranks.seed(seed))
            draws.append(tuple(torch.randn(4, generator=g).tolist()))
    assert len(set(draws)) == 8


def test_one_device_asks_nobody() -> None:
    ranks, figures = one(), {"loss": 1.0}
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1.0, 2.0])
    assert ranks.first and ranks.average([weight], figures) is figures
    assert weight.grad.tolist() == [1.0, 2.0]
    assert ranks.any(True) and not ranks.any(False) and ranks.alike(b"x") and ranks.from_first(b"x") == b"x"
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ranks.std(x), x.std(0))
