"""A resumed run is the same run, to the last bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from small_runs import CASES, same, trainer, weights

from ebm.errors import BadArtifact, Cancelled
from ebm.training import checkpoint


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("stop_at", [20, 33])
def test_a_stopped_run_resumes_to_the_same_bits(name: str, stop_at: int, tmp_path: Path) -> None:
    whole = weights(trainer(name).run())
    path, first = tmp_path / "term.safetensors", trainer(name)
    with pytest.raises(Cancelled, match=f"step {stop_at} of 60"):
        first.run(path=path, should_stop=lambda: first.step >= stop_at)
    second = trainer(name)
    assert same(whole, weights(second.run(path=path, resume=True)))
    assert second.step == 60


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
import small_runs
from pathlib import Path
run = small_runs.trainer({name!r})
def on_step(step, n, figures):
    if step == {kill_at}:
        os.kill(os.getpid(), signal.SIGKILL)
run.config = run.config.model_copy(update={{"log_every": 1}})
energy = run.run(path=Path({path!r}), resume=True, on_step=on_step)
from safetensors.torch import save_file
save_file(small_runs.weights(energy), {out!r})
"""


@pytest.mark.parametrize("name", ["dsm", "persistent_cd"])
def test_a_killed_process_resumes_to_the_same_bits(name: str, tmp_path: Path) -> None:
    def process(kill_at: int, out: str) -> int:
        values = {"here": str(Path(__file__).parent), "name": name, "kill_at": kill_at}
        code = KILLED.format(**values, path=str(tmp_path / "term.safetensors"), out=str(tmp_path / out))
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
        )
        return done.returncode

    assert process(47, "none") == -signal.SIGKILL
    assert checkpoint.load(tmp_path / "term.safetensors")[1]["step"] == 40
    assert process(-1, "resumed") == 0
    assert same(load_file(tmp_path / "resumed"), weights(trainer(name).run()))


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "term.safetensors"
    trainer("dsm").run(path=path)
    with pytest.raises(BadArtifact, match=r"term\.safetensors: does not fit this configuration"):
        trainer("cd").run(path=path, resume=True)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadArtifact, match=r"term\.safetensors: not a usable checkpoint"):
        trainer("dsm").run(path=path, resume=True)
