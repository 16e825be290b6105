"""The training loop: what it learns, and from what."""

from __future__ import annotations

import math

import pytest
import torch
from small_runs import CASES, rows, same, trainer, weights
from torch import Generator

from ebm.errors import BadConfig
from ebm.evaluation.metrics import auroc
from ebm.samplers import LangevinConfig
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric


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
