"""How a sampling chain goes from noise to what a model takes for normal, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ebm.detector import Detector
from ebm.generation import plan, sampling_energy, start
from ebm.pictures import grid
from ebm.samplers.run import Stage, iterate
from ebm.types import EnergyFn

CHAINS = 6
STEPS = 60  # of a chain whose objective does not say how long it is
SIDE = 64  # pixels of the picture that an image is enlarged to, about


def marks(n_steps: int) -> list[int]:
    """The steps after which a chain is shown: 0, 1, 2, 4, ..., and the last."""
    return [0, *(2**i for i in range(n_steps.bit_length()) if 2**i < n_steps), n_steps]


def chain_states(stages: Sequence[Stage], x: Tensor, generator: Generator) -> tuple[list[int], Tensor]:
    """The chains that start at x (B, ...), at the steps of `marks`: those steps, and (len, B, ...)."""
    wanted = marks(sum(stage.n_steps for stage in stages))
    states = [x, *(step.x for step in iterate(stages, x, generator) if step.i in wanted)]
    return wanted, torch.stack(states)


def objective_stages(objective: Any, energy: Any) -> list[Stage] | None:
    """The chain by which an objective gets its negatives; None where it has none, or the
    energy is one of noise levels."""
    config = getattr(objective, "sampler", None)
    if config is None or getattr(energy, "noise_conditional", False):
        return None
    sampler = config.build()
    if hasattr(sampler, "stages"):
        return sampler.stages(energy)
    return [Stage(sampler, energy, getattr(objective, "k_steps", 0) or STEPS)]


def fresh_noise(objective: Any, x: Tensor, generator: Generator, n: int = CHAINS) -> Tensor:
    """n chains' starts (n, ...) as the objective makes fresh ones: normal, or uniform in its sampler's box, [-1, 1]
    without one; coins where the rows x (N, ...) are zeros and ones."""
    shape = (n, *x.shape[1:])
    if getattr(objective, "fresh", "uniform") == "gaussian":
        return torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)
    chance = torch.rand(shape, generator=generator, device=x.device, dtype=x.dtype)
    if bool(((x == 0) | (x == 1)).all()):
        return chance.round()
    low, high = getattr(objective.sampler, "box", None) or (-1.0, 1.0)
    return low + (high - low) * chance


def draw_training_chain(energy: Any, objective: Any, x: Tensor, path: Path, *, seed: int = 0) -> bool:
    """Draws the objective's own chain from fresh noise, of an energy of images x (N, C, H, W); False where there is
    none to draw."""
    stages = objective_stages(objective, energy)
    if stages is None:
        return False
    generator = Generator(x.device).manual_seed(seed)
    steps, states = chain_states(stages, fresh_noise(objective, x, generator), generator)
    draw_states(steps, states, energy, path)
    return True


def draw_model_chain(detector: Detector, path: Path, *, seed: int = 0) -> None:
    """Draws the chain by which an image model generates, with the energies by which it scores."""
    config, state = detector.manifest.sampling, detector.sampling
    assert config is not None and state is not None
    stages, noise = plan(sampling_energy(detector.energy.terms, config), config, None, None)
    generator = Generator(state.mean.device).manual_seed(seed)
    first = start(state.mean, state.sd, noise, CHAINS, generator)
    steps, states = chain_states(stages, first, generator)
    draw_states(steps, states, detector.energy, path)


def draw_states(steps: list[int], states: Tensor, energy: EnergyFn, path: Path) -> None:
    """A line for each chain, a column for each of `steps`; states (len(steps), B, C, H, W), with E below each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and needed only here
    from matplotlib.figure import Figure

    with torch.no_grad():
        energies = torch.stack([energy(x).float() for x in states]).cpu().numpy()
    images = np.nan_to_num(states.detach().float().cpu().numpy(), nan=-1.0).transpose(1, 0, 3, 4, 2)
    n, across, height, width, channels = images.shape
    images = images.reshape(n * across, height, width, channels)
    images = images if channels == 3 else images.mean(3)
    low = 0.0 if images.min() >= 0 else -1.0  # of rows of zeros and ones
    scale = max(1, SIDE // height)
    gap = 18  # for the energies
    picture = grid(images, low, 1.0, scale=scale, gap=gap, across=across)
    figure = Figure(figsize=(picture.shape[1] / 100, (picture.shape[0] + 14) / 100), dpi=100)
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, picture.shape[0] / (picture.shape[0] + 14)))
    axis.set_axis_off()
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="nearest")
    for j, step in enumerate(steps):
        middle = gap + j * (width * scale + gap) + width * scale / 2
        axis.text(middle, 2, f"step {step}", ha="center", va="bottom", fontsize=7)
        for i in range(n):
            below = (i + 1) * (height * scale + gap)
            axis.text(
                middle, below + 1, f"{energies[j, i]:.4g}", ha="center", va="top", fontsize=7, color="w"
            )
    figure.savefig(path)
