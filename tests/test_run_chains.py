"""Pictures of sampling chains: the states that they show, who draws them, and what is written below."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor, nn

from ebm.objectives import CDConfig, ContrastConfig, PersistentCDConfig
from ebm.run_chains import (
    chain_states,
    draw_model_chain,
    draw_states,
    draw_training_chain,
    fresh_noise,
    marks,
    objective_stages,
)
from ebm.samplers import LangevinConfig, Stage

X = torch.zeros((5, 1, 8, 8)) - 0.5
DOWN = LangevinConfig(step_size=0.1, noise_scale=0.0, box=(-1.0, 1.0))


def bowl(x: Tensor, sigma: Any = None) -> Tensor:
    assert sigma is None
    return (x + 0.5).square().flatten(1).sum(1) / 2


def test_the_states_are_those_after_1_2_4_steps_and_the_last() -> None:
    assert [marks(k) for k in (1, 2, 5, 60, 64)] == [
        [0, 1],
        [0, 1, 2],
        [0, 1, 2, 4, 5],
        [0, 1, 2, 4, 8, 16, 32, 60],
        [0, 1, 2, 4, 8, 16, 32, 64],
    ]
    x = torch.full((3, 1, 2, 2), 0.5)
    stages = [Stage(DOWN.build(), bowl, 3), Stage(DOWN.build(), bowl, 3)]
    steps, states = chain_states(stages, x, Generator().manual_seed(0))
    assert steps == [0, 1, 2, 4, 6] and states.shape == (5, 3, 1, 2, 2)
    np.testing.assert_allclose(states[:, 0, 0, 0, 0] + 0.5, 0.9 ** np.array(steps), rtol=1e-5)


def test_fresh_noise_is_the_objectives() -> None:
    boxed = CDConfig(sampler=DOWN.model_copy(update={"box": (0.0, 4.0)}))
    x = fresh_noise(boxed, X, Generator().manual_seed(0), 50)
    assert x.shape == (50, 1, 8, 8) and 0 <= x.min() < 0.1 and 3.9 < x.max() <= 4
    normal = fresh_noise(PersistentCDConfig(fresh="gaussian"), X, Generator().manual_seed(0), 50)
    assert abs(float(normal.std()) - 1) < 0.05
    assert set(fresh_noise(boxed, X.ceil() + 1, Generator()).unique().tolist()) == {0.0, 1.0}


def test_only_energies_without_levels_and_objectives_with_chains_have_one(tmp_path: Path) -> None:
    conditional = SimpleNamespace(noise_conditional=True)
    assert objective_stages(CDConfig(), conditional) is None and objective_stages(None, bowl) is None
    assert objective_stages(ContrastConfig(), bowl) is None
    (stage,) = objective_stages(CDConfig(k_steps=7), bowl) or []
    assert stage.n_steps == 7
    assert not draw_training_chain(bowl, ContrastConfig(), X, tmp_path / "no.png")
    assert list(tmp_path.iterdir()) == []


def test_a_chain_descends_from_noise_to_the_data(tmp_path: Path) -> None:
    """Of a bowl about -.5: from noise of all shades to one dark grey, in the last column exactly."""
    objective = PersistentCDConfig(k_steps=64, sampler=DOWN)
    assert draw_training_chain(bowl, objective, X, tmp_path / "chain.png")
    with Image.open(tmp_path / "chain.png") as picture:
        shown = np.asarray(picture.convert("L")).astype(float)
    side, gap = 64, 18
    top = shown.shape[0] - 6 * (side + gap) - gap  # of six chains, below the line of step numbers
    assert shown.shape[1] == 8 * (side + gap) + gap
    tiles = [shown[top + gap + 4 : top + gap + side - 4, gap + j * 82 + 4 : j * 82 + 78] for j in range(8)]
    spread = [tile.std() for tile in tiles]
    assert spread[0] > 60 and spread[-1] < 1 and spread == sorted(spread, reverse=True)
    assert tiles[-1].mean() == pytest.approx(0.25 * 255, abs=2)
    below = shown[top + gap + side : top + gap + side + gap, gap:]
    assert (below == 96).any() and below.max() > 200, "energies, light on the frame's grey"


@pytest.mark.parametrize("channels", [1, 3])
def test_broken_and_coloured_chains_are_drawn(tmp_path: Path, channels: int) -> None:
    states = torch.full((2, 3, channels, 4, 4), float("nan"))
    draw_states([0, 1], states, lambda x: x.flatten(1).sum(1), tmp_path / "chain.png")
    assert (tmp_path / "chain.png").stat().st_size > 500


def test_the_models_own_chain_leaves_the_model_as_it_is(tmp_path: Path, tiny: Any) -> None:
    before = {name: value.clone() for name, value in tiny.energy.state_dict().items()}
    draw_model_chain(tiny, tmp_path / "one.png")
    draw_model_chain(tiny, tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    # 8 levels of 2 steps, and a last one: 0, 1, 2, 4, 8, 16, 17.
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width == 7 * (64 + 18) + 18
    for name, value in tiny.energy.state_dict().items():
        assert torch.equal(value, before[name])


class _Module(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return bowl(x)


def test_one_that_is_being_trained_is_left_as_it_is(tmp_path: Path) -> None:
    module = _Module().train()
    draw_training_chain(module, CDConfig(k_steps=2, sampler=DOWN), X, tmp_path / "chain.png")
    assert module.training
