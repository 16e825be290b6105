"""`ebm train --devices 2`, and the same by torchrun: one model, one voice, and one end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file
from small_runs import same

CONFIG = """
name: small
data: {{kind: builtin, name: breast_cancer, normal: [benign]}}
preprocessing: {{kind: standardize}}
terms:
  - name: chains
    energy: {{kind: mlp, width: 8, depth: 1}}
    objective: {{kind: persistent_cd, k_steps: 2, buffer_size: 64, l2: 0.1}}
    training: {{n_steps: {n_steps}, batch_size: 32, log_every: 5, checkpoint_every: 10, warmup_steps: 5}}
"""
EBM = [str(Path(sys.executable).parent / "ebm")]  # the console script, as people call it
TORCHRUN = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
    "ebm",
]


class Run:
    """A command in a folder of its own, with the processes that it starts."""

    def __init__(self, folder: Path, *arguments: str, n_steps: int = 40, command: list[str] = EBM):
        self.folder = folder
        (folder / "small.yaml").write_text(CONFIG.format(n_steps=n_steps))
        environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE")}
        self.process = subprocess.Popen(
            [*command, "train", "small.yaml", "--models", "models", "--run-dir", "run", "--json", *arguments],
            cwd=folder,
            env=environment | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, str, str]:
        try:
            out, err = self.process.communicate(timeout=120)
            return self.process.returncode, out, err
        finally:
            self.kill()

    def others(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def kill(self) -> None:
        for process in [*self.others(), self.process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def until_checkpoint(self) -> list[psutil.Process]:
        """Wait for the first checkpoint of both ranks; the processes that this one started."""
        poll = threading.Event()
        while not (self.folder / "run" / "checkpoints" / "chains.safetensors").exists():
            assert self.process.poll() is None, self.process.communicate()
            poll.wait(0.05)
        return self.others()


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "models" / "small" / "1" / "weights.safetensors")


def finished(run: Run) -> dict[str, Any]:
    code, out, err = run.end()
    assert (code, err) == (0, ""), err
    return json.loads(out)  # one document: only one process speaks


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("command")
    yield folder, finished(Run(folder, "--devices", "2"))


def test_two_devices_leave_one_run_and_one_model(by_two: tuple[Path, dict[str, Any]]) -> None:
    folder, answer = by_two
    assert answer["metrics"]["auroc"] > 0.8 and answer["path"] == "models/small/1"
    assert {p.name for p in (folder / "models" / "small").iterdir()} == {"1"}
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(5, 41, 5))
    assert [line["step"] for line in lines if "loss" not in line] == [10, 20, 30, 40]  # looks at noise
    assert {p.name for p in (folder / "run" / "checkpoints").iterdir()} == {
        "chains.safetensors",
        "chains.rank1.step40.safetensors",
    }
    for file in (folder / "run" / "checkpoints").iterdir():
        assert len(load_file(file)["objective.states"]) == 32  # of 64 chains


@pytest.mark.slow
def test_torchrun_gives_the_same_model(by_two: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    run = Run(tmp_path, command=TORCHRUN)
    code, out, err = run.end()
    assert code == 0, err
    assert json.loads(out)["metrics"] == by_two[1]["metrics"]
    assert same(weights(tmp_path), weights(by_two[0]))


@pytest.mark.slow
def test_two_rank_as_well_as_one(by_two: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    one = finished(Run(tmp_path / "one", n_steps=400))["metrics"]["auroc"]
    two = finished(Run(tmp_path / "two", "--devices", "2", n_steps=400))["metrics"]["auroc"]
    assert one == pytest.approx(two, abs=0.02) and one > by_two[1]["metrics"]["auroc"] - 0.02


def one_line(err: str) -> str:
    assert err.startswith("error: ") and err.count("\n") == 1, err
    return err.removeprefix("error: ").rstrip()


@pytest.mark.slow
def test_when_a_child_is_killed_the_command_says_so_and_ends(tmp_path: Path) -> None:
    run = Run(tmp_path, "--devices", "2", n_steps=1_000_000)
    (child,) = run.until_checkpoint()
    child.kill()
    code, out, err = run.end()
    assert (code, out) == (1, "")
    assert one_line(err) == "rank 1 of the training run was killed by SIGKILL"
    assert not (tmp_path / "models").exists()


@pytest.mark.slow
def test_when_the_command_is_killed_its_child_says_so_and_ends(tmp_path: Path) -> None:
    run = Run(tmp_path, "--devices", "2", n_steps=1_000_000)
    (child,) = run.until_checkpoint()
    run.process.kill()
    code, _, err = run.end()  # whose pipe the child holds until it ends
    assert code == -signal.SIGKILL
    assert one_line(err) == "rank 0 of the training run has ended"
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_a_signal_to_the_command_alone_stops_both_and_they_resume(tmp_path: Path) -> None:
    run = Run(tmp_path, "--devices", "2", n_steps=2000)
    run.until_checkpoint()
    run.process.send_signal(signal.SIGTERM)
    code, _, err = run.end()
    assert code == 130
    stopping, error = err.splitlines()
    assert stopping.startswith("SIGTERM: stopping after this step")
    assert "go on with: ebm train small.yaml --devices 2 --run-dir run --resume" in error
    code, _, err = Run(tmp_path, "--resume", n_steps=2000).end()
    assert code == 2 and "was written by 2 devices, this run has 1" in one_line(err)
    finished(Run(tmp_path, "--devices", "2", "--resume", n_steps=2000))
    (tmp_path / "whole").mkdir()
    finished(Run(tmp_path / "whole", "--devices", "2", n_steps=2000))
    assert same(weights(tmp_path), weights(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_random_moments_it_resumes_to_the_same_bits(tmp_path: Path) -> None:
    draw, n_steps, kills = random.Random(0), 3000, 0
    (tmp_path / "whole").mkdir()
    finished(Run(tmp_path / "whole", "--devices", "2", n_steps=n_steps))
    resume: list[str] = []
    for _ in range(8):
        run = Run(tmp_path, "--devices", "2", *resume, n_steps=n_steps)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.until_checkpoint()
            run.process.wait(draw.uniform(0, 8))
        kills += run.process.poll() is None
        run.kill()
        run.end()
        if (tmp_path / "models").exists():
            break
        resume = ["--resume"]
    else:
        finished(Run(tmp_path, "--devices", "2", "--resume", n_steps=n_steps))
    assert kills > 0
    assert same(weights(tmp_path), weights(tmp_path / "whole"))


@pytest.mark.slow
def test_what_only_one_rank_finds_is_said_by_one(tmp_path: Path) -> None:
    Run(tmp_path, "--devices", "2").end()
    (tmp_path / "run" / "checkpoints" / "chains.rank1.step40.safetensors").unlink()
    code, _, err = Run(tmp_path, "--devices", "2", "--resume", "--no-publish").end()
    assert code == 2
    assert "chains.rank1.step40.safetensors: not a usable checkpoint" in one_line(err)


@pytest.mark.slow
@pytest.mark.parametrize("command", [EBM, TORCHRUN], ids=["ebm", "torchrun"])
def test_bad_settings_are_one_line(command: list[str], tmp_path: Path) -> None:
    devices = ["--devices", "3"] if command is EBM else []
    run = Run(tmp_path, *devices, n_steps=0 if command is TORCHRUN else 10, command=command)
    code, _, err = run.end()
    own = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code != 0 and len(own) == 1, err
    assert ("'batch_size' 32 does not divide among 3 devices" in own[0]) or "n_steps" in own[0]
