"""The training loop: what it learns, how it fails, and that a resumed run is the same run to the last bit."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Generator, Tensor, nn

from ebm.energies import MLPConfig, ResidualConfig
from ebm.errors import BadArtifact, BadConfig, Cancelled, Diverged
from ebm.evaluation.metrics import auroc
from ebm.objectives import CDConfig, DSMConfig, PersistentCDConfig
from ebm.samplers import LangevinConfig
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric
from ebm.types import LossOutput

CASES: dict[str, tuple[Any, Any]] = {
    "dsm": (ResidualConfig(width=16, depth=2), DSMConfig(sigma_min=0.05, sigma_max=2.0)),
    "persistent_cd": (
        MLPConfig(width=16, depth=2),
        PersistentCDConfig(
            k_steps=3, sampler=LangevinConfig(step_size=0.05), buffer_size=256, fresh="gaussian"
        ),
    ),
    "cd": (MLPConfig(width=16, depth=2), CDConfig(k_steps=3, sampler=LangevinConfig(step_size=0.05))),
}


def rows() -> Tensor:
    g = Generator().manual_seed(0)
    return torch.randn(300, 2, generator=g) @ torch.tensor([[1.0, 0.8], [0.0, 0.4]])


def trainer(name: str = "dsm", objective: Any = None, **settings: Any) -> Trainer:
    config, objective_config = CASES[name]
    torch.manual_seed(0)
    energy = config.build((2,))
    energy.fit(rows())
    loop = LoopConfig(
        **{"n_steps": 60, "batch_size": 32, "checkpoint_every": 20, "warmup_steps": 5} | settings
    )
    return Trainer(energy, objective or objective_config.build(), rows(), loop, make_fabric("cpu"), seed=3)


def weights(energy: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in energy.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# ---- learning ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_training_moves_the_weights_and_ranks_better_than_the_start(name: str) -> None:
    # A ring of normal rows with anomalies inside: the untrained Gaussian base ranks those as most normal.
    g = Generator().manual_seed(1)
    angle = 2 * math.pi * torch.rand(600, generator=g)
    ring = torch.stack([angle.cos(), angle.sin()], 1) + 0.08 * torch.randn(600, 2, generator=g)
    inside = 0.3 * torch.randn(200, 2, generator=g)
    config, objective = CASES[name]
    torch.manual_seed(0)
    energy = config.model_copy(update={"width": 64}).build((2,))
    energy.fit(ring)
    sigma = 0.4 if name == "dsm" else None  # noise that reaches the middle: DSM learns only where it samples

    def ranking() -> float:
        with torch.no_grad():
            scores = energy(torch.cat([ring, inside]), sigma=sigma)
        return auroc(scores.numpy(), [0] * 600 + [1] * 200)

    start, before = ranking(), weights(energy)
    if name != "dsm":
        objective = objective.model_copy(update={"k_steps": 15, "sampler": LangevinConfig(step_size=0.02)})
    n_steps = 1500 if name == "dsm" else 400
    loop = LoopConfig(n_steps=n_steps, batch_size=128, learning_rate=3e-3, ema=0.9)
    losses: list[float] = []
    run = Trainer(energy, objective.build(), ring, loop, make_fabric("cpu"), seed=0)
    run.run(on_step=lambda step, n, figures: losses.append(figures["loss"]))
    assert len(losses) == n_steps // 20
    assert not same(before, weights(energy))
    assert ranking() > max(0.9, start + 0.2)
    with torch.no_grad():
        assert energy(ring, sigma=sigma).std() > 1e-3
    if name == "dsm":  # the loss of contrastive divergence is a difference, and says nothing
        assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_same_seed_same_weights() -> None:
    one, other = trainer().run(), trainer().run()
    assert same(weights(one), weights(other))


def test_learning_rate_warms_up_and_decays() -> None:
    rates: list[float] = []
    run = trainer(learning_rate=0.01, log_every=1)
    run.run(on_step=lambda step, n, figures: rates.append(figures["learning_rate"]))
    assert rates[0] < rates[3] < rates[4]
    assert max(rates) <= 0.01 and rates[-1] < 1e-4 and len(rates) == 60


def test_the_answer_has_the_averaged_weights() -> None:
    run = trainer(schedule="constant", learning_rate=0.01)
    energy = run.run()
    parameters = dict(energy.named_parameters())
    assert all(torch.equal(parameters[k], run.average[k]) for k in parameters)
    last = trainer(schedule="constant", learning_rate=0.01, ema=0.0).run()
    differences = [
        float((p - q).abs().max()) for p, q in zip(parameters.values(), last.parameters(), strict=True)
    ]
    assert max(differences) > 1e-4


# ---- divergence ----------------------------------------------------------------------------------------


class Faulty:
    """An objective that goes wrong at the calls in `at`."""

    def __init__(self, at: set[int], what: str):
        self.inner, self.at, self.what, self.calls = (
            DSMConfig(sigma_min=0.1, sigma_max=1.0).build(),
            at,
            what,
            0,
        )

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        self.calls += 1
        out = self.inner(energy, x, generator)
        if self.calls not in self.at:
            return out
        if self.what == "loss":
            return LossOutput(out.loss * float("nan"), out.metrics)
        return LossOutput(out.loss, out.metrics | {"real": 1e9})

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state


@pytest.mark.parametrize("what", ["loss", "energy"])
def test_one_divergence_goes_back_and_halves_the_rate(what: str) -> None:
    run = trainer(objective=Faulty({30}, what))
    energy = run.run()
    assert run.rate_scale == 0.5
    assert run.step == 60
    assert run.objective.calls == 60 + 10  # type: ignore[attr-defined]  # steps 21 to 30 came again
    assert all(torch.isfinite(v).all() for v in energy.state_dict().values())


@pytest.mark.parametrize(("what", "reason"), [("loss", "loss is not finite"), ("energy", "energies explode")])
def test_a_second_divergence_fails_with_the_reason(what: str, reason: str) -> None:
    run = trainer(objective=Faulty({30, 45}, what))
    with pytest.raises(Diverged, match=rf"step \d+: {reason}.*again after going back"):
        run.run()
    assert all(torch.isfinite(v).all() for v in run.plain.state_dict().values())


# ---- stopping and resuming -----------------------------------------------------------------------------


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
import test_loop
from pathlib import Path
run = test_loop.trainer({name!r})
def on_step(step, n, figures):
    if step == {kill_at}:
        os.kill(os.getpid(), signal.SIGKILL)
run.config = run.config.model_copy(update={{"log_every": 1}})
energy = run.run(path=Path({path!r}), resume=True, on_step=on_step)
from safetensors.torch import save_file
save_file(test_loop.weights(energy), {out!r})
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
    assert (tmp_path / "term.safetensors").exists()
    assert process(-1, "resumed") == 0
    (tmp_path / "term.safetensors").unlink()
    assert process(-1, "whole") == 0
    assert same(load_file(tmp_path / "resumed"), load_file(tmp_path / "whole"))


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "term.safetensors"
    trainer("dsm").run(path=path)
    with pytest.raises(BadArtifact, match=r"term\.safetensors: does not fit this configuration"):
        trainer("cd").run(path=path, resume=True)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadArtifact, match=r"term\.safetensors: not a usable checkpoint"):
        trainer("dsm").run(path=path, resume=True)


def test_a_device_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(BadConfig, match="no CUDA device"):
        make_fabric("cuda")


@pytest.mark.gpu
def test_training_on_cuda_agrees_with_the_cpu() -> None:
    config, objective = CASES["dsm"]
    energy = config.build((2,))
    energy.fit(rows())
    loop = LoopConfig(n_steps=200, batch_size=128)
    run = Trainer(energy, objective.build(), rows(), loop, make_fabric("cuda"), seed=0)
    found = run.run().cpu()(rows(), sigma=0.2)
    on_cpu = trainer("dsm", n_steps=200, batch_size=128).run()(rows(), sigma=0.2)
    assert torch.corrcoef(torch.stack([found, on_cpu]))[0, 1] > 0.98
