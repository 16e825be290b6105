"""Two processes train as one does on the same batches and the same noise."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import device_runs
import pytest
import torch
from device_runs import ALL, AUGMENT, IMAGES, both, found, target
from small_runs import same, weights
from torch import Generator, Tensor

from ebm.energies.analytic import Gaussian
from ebm.errors import BadArtifact
from ebm.training import checkpoint
from ebm.training.config import LoopConfig, StageConfig
from ebm.training.devices import make_fabric
from ebm.training.ranks import Ranks, share_of
from ebm.types import LossOutput


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("by_two")
    codes, said = both("every_case", folder)
    # The last of its runs is one in which rank 1 is killed.
    assert codes == [1, -signal.SIGKILL], said
    assert said.count("Traceback") == 1, said
    assert "RankLost: another process of this training run has ended" in said
    return folder


class InTwo:
    """The objective of two ranks in one process: each half of the batch with its own noise, chains and generator."""

    def __init__(self, name: str, noise_seed: int):
        stage = StageConfig(objective=ALL[name][1], training=LoopConfig(batch_size=32))
        self.halves = [share_of(stage, 2).objective.build() for _ in range(2)]
        ranks = Ranks(make_fabric("cpu"))
        self.generators = []
        for ranks.rank in range(2):
            self.generators.append(Generator().manual_seed(ranks.seed(noise_seed)))
        self.augment = AUGMENT.build() if name == "contrast" else None

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        del generator
        parts, losses = [], []
        for half, own in zip(x.chunk(2), self.generators, strict=True):
            parts.append(half if self.augment is None else self.augment(half, own))
        for half, objective, own in zip(parts, self.halves, self.generators, strict=True):
            if hasattr(
                objective, "batch_std"
            ):  # no noise on the input in this case, so that these are the codes
                objective.batch_std = lambda _: energy.encode(torch.cat(parts)).detach().std(0)
            losses.append(objective(energy, half, own))
        metrics = {k: (losses[0].metrics[k] + losses[1].metrics[k]) / 2 for k in losses[0].metrics}
        return LossOutput((losses[0].loss + losses[1].loss) / 2, metrics)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state


@pytest.mark.parametrize("name", ALL)
def test_the_weights_and_the_log_of_two_are_those_of_one(name: str, by_two: Path) -> None:
    run = device_runs.trainer(name, make_fabric("cpu"), InTwo(name, 4), log_every=20)
    run.augment = None  # by `InTwo`, with each one's generator
    start, lines = weights(run.plain), []
    run.run(on_step=lambda step, n, figures: lines.append(list(figures.values())))
    theirs, expected = found(by_two, name, 0), weights(run.plain)
    logged = theirs.pop("logged")
    assert max(float((start[k] - v).abs().max()) for k, v in expected.items()) > 1e-2  # it went somewhere
    for key, value in expected.items():
        torch.testing.assert_close(theirs[key], value, rtol=1e-5, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}")
    torch.testing.assert_close(logged.float(), torch.tensor(lines), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_both_ranks_hold_the_same_weights_and_figures(name: str, by_two: Path) -> None:
    assert same(found(by_two, name, 0), found(by_two, name, 1))


def test_the_ranks_have_noise_and_chains_of_their_own(by_two: Path) -> None:
    own = by_two / "persistent_cd.rank1.step60.safetensors"
    theirs = device_runs.load_file(own)
    first = device_runs.load_file(by_two / "persistent_cd.safetensors")
    assert theirs.keys() == {"noise", "objective.states"}
    assert len(theirs["objective.states"]) == len(first["objective.states"]) == 128  # of 256
    assert not torch.equal(theirs["noise"], first["noise"])
    assert not torch.isclose(theirs["objective.states"], first["objective.states"]).any()
    assert [p.name for p in by_two.glob("persistent_cd.rank1*")] == [own.name]  # the older ones are gone


@pytest.mark.slow
def test_two_recover_the_precision_of_a_gaussian_by_contrastive_divergence(tmp_path: Path) -> None:
    codes, said = both("gaussian", tmp_path)
    assert codes == [0, 0], said
    truth, energy = target(8), Gaussian(torch.zeros(8), torch.eye(8), learnable=True)

    def error() -> float:
        return float(((energy.precision - truth.precision).norm() / truth.precision.norm()).detach())

    assert error() > 0.3
    energy.load_state_dict(found(tmp_path, "gaussian", 0))
    assert error() < 0.10
    assert float((energy.mean - truth.mean).norm().detach()) < 0.1 * 8**0.5


def test_one_rank_that_is_told_to_stop_stops_both_at_the_same_step(by_two: Path) -> None:
    said = [(by_two / f"stop.{rank}").read_text() for rank in range(2)]
    assert said == ["training stopped at step 33 of 60"] * 2
    assert (by_two / "stop.rank1.step33.safetensors").exists()


def test_one_rank_that_diverges_sends_both_back(by_two: Path) -> None:
    """Steps 41 to 45 come again."""
    assert [(by_two / f"diverged.{rank}").read_text() for rank in range(2)] == ["60 0.5 65"] * 2


def test_two_that_one_kill_ended_resume_to_the_same_bits(by_two: Path, tmp_path: Path) -> None:
    shutil.copytree(by_two / "killed", tmp_path, dirs_exist_ok=True)
    assert checkpoint.load(tmp_path / "persistent_cd.safetensors")[1] == {
        "step": 40,
        "rate_scale": 1.0,
        "devices": 2,
    }
    codes, said = both("resumed", tmp_path)
    assert codes == [0, 0] and said == "", said
    whole = found(by_two, "persistent_cd", 0)
    del whole["logged"]
    assert same(whole, found(tmp_path, "resumed", 0)) and same(whole, found(tmp_path, "resumed", 1))


def test_one_device_does_not_resume_what_two_began(by_two: Path) -> None:
    with pytest.raises(BadArtifact, match=r"cd\.safetensors: was written by 2 devices, this run has 1"):
        device_runs.trainer("cd", make_fabric("cpu")).run(path=by_two / "cd.safetensors", resume=True)


def test_no_case_is_left_out() -> None:
    assert IMAGES.keys() < ALL.keys() and len(ALL) == 6
