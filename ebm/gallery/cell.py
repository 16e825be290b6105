"""One objective on one set: train, look, sample, measure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebm import runs
from ebm.data import ToyName, draw_toy
from ebm.data.toy import MODE_SD
from ebm.data.toy_density import modes, truth
from ebm.detector import Detector
from ebm.errors import Diverged
from ebm.evaluation.metrics import auroc
from ebm.evaluation.modes import mode_coverage
from ebm.fitting import fit_detector
from ebm.gallery.entry import Entry
from ebm.gallery.measures import energy_distance, match
from ebm.samplers.gradient import energy_and_gradient
from ebm.training.config import TrainConfig
from ebm.types import EnergyFn

REACH = 2.8  # the pictures show [-2.8, 2.8]^2, in units of the sets' sd


@dataclass(frozen=True)
class Size:
    """What a cell costs: the share of its entry's steps, rows to train on, chains, fresh rows for the figures, and
    places of a side of the picture at which energies, and arrows, are drawn."""

    steps: float = 1.0
    rows: int = 10_000
    chains: int = 600
    fresh: int = 4000
    grid: int = 80
    arrows: int = 15


@dataclass(frozen=True)
class Field:
    """An energy (g, g) over the picture, and its score function (a, a, 2) at those of the arrows; first index y."""

    energy: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Cell:
    """What one picture shows and one row of the table says. `failed` says why there is no more."""

    set: ToyName
    data: np.ndarray
    truth: Field
    seconds: float
    learnt: Field | None = None
    samples: np.ndarray | None = None
    losses: tuple[float, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)
    failed: str = ""


def axis(n: int) -> np.ndarray:
    """n places in the middle of n equal parts of the picture's width."""
    return (np.arange(n) + 0.5) / n * 2 * REACH - REACH


def plane(n: int) -> Tensor:
    """(n * n, 2) places over the picture, row by row."""
    x, y = np.meshgrid(axis(n), axis(n))
    return torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1).astype(np.float32))


def make_cell(
    entry: Entry, name: ToyName, seed: int, size: Size, should_stop: Callable[[], bool] | None = None
) -> Cell:
    """Train `entry` on the set `name` and measure it against the truth.

    Raises:
        Cancelled: `should_stop()` was true.
    """
    config = entry.config(name, seed, rows=size.rows, steps=size.steps)
    began = time.process_time()
    rows = runs.prepare(config)
    losses: list[float] = []

    def note(_term: str, _step: int, _n: int, figures: dict[str, float]) -> None:
        losses.append(figures["loss"])

    fresh = draw_toy(name, size.fresh, seed + 1_000_003)[0]
    shown = Cell(name, fresh, field_of(truth(name), size), 0.0)
    try:
        detector = _fit(config, rows, note, should_stop)
        energy = energy_of(detector, entry.level)
        samples = detector.generate(size.chains, seed=seed).samples if config.sampling else None
    except Diverged as error:
        return Cell(
            name, fresh, shown.truth, time.process_time() - began, losses=tuple(losses), failed=str(error)
        )
    seconds = time.process_time() - began
    figures = measure(energy, name, fresh, samples, seed)
    return Cell(name, fresh, shown.truth, seconds, field_of(energy, size), samples, tuple(losses), figures)


def _fit(config: TrainConfig, rows: runs.Prepared, note: Any, should_stop: Any) -> Detector:
    return fit_detector(
        config, rows.train, rows.calibration, labels=rows.labels, on_step=note, should_stop=should_stop
    )


def energy_of(detector: Detector, level: float | None) -> EnergyFn:
    """The detector's (only) energy as a function of x (B, 2) in user units, at noise `level` where it has levels."""
    stored = detector.preprocessor.arrays()
    mean, sd = (torch.from_numpy(stored[k]).float() if k in stored else None for k in ("mean", "sd"))
    module = next(iter(detector.energy.terms.values()))

    def energy(x: Tensor, /) -> Tensor:
        z = x if mean is None or sd is None else (x - mean) / sd
        return module(z) if level is None else module(z, sigma=level)

    return energy


def field_of(energy: EnergyFn, size: Size) -> Field:
    with torch.no_grad():
        over = torch.cat([energy(part) for part in plane(size.grid).split(2000)])
    score = -energy_and_gradient(energy, plane(size.arrows))[1]
    a = size.arrows
    return Field(over.reshape(size.grid, size.grid).numpy(), score.reshape(a, a, 2).numpy())


def measure(
    energy: EnergyFn, name: ToyName, fresh: np.ndarray, samples: np.ndarray | None, seed: int
) -> dict[str, float]:
    """cosine, fisher (see `FieldMatch`), auroc of fresh rows against uniform ones beside the truth's, and the energy
    distance of samples to fresh rows beside that of as many new draws; of the eight Gaussians also how many of their
    modes have samples, and the KL of the samples' shares of them to the true ones."""
    x = torch.from_numpy(fresh)
    (e, g), (e_true, g_true) = energy_and_gradient(energy, x), energy_and_gradient(truth(name), x)
    fields = match(-g, -g_true)
    elsewhere = torch.from_numpy(np.random.default_rng(seed).uniform(-REACH, REACH, fresh.shape)).float()
    with torch.no_grad():
        other, other_true = energy(elsewhere), truth(name)(elsewhere)
    y = np.repeat([0, 1], len(x))
    figures = {
        "cosine": fields.cosine,
        "fisher": fields.fisher,
        "auroc": auroc(torch.cat([e, other]).numpy(), y),
        "auroc_truth": auroc(torch.cat([e_true, other_true]).numpy(), y),
    }
    if samples is not None:
        again = draw_toy(name, len(samples), seed + 2_000_003)[0]
        figures["distance"] = energy_distance(samples, fresh)
        figures["distance_data"] = energy_distance(again, fresh)
        if name == "eight_gaussians":
            found = mode_coverage(samples, modes(), 3 * MODE_SD)
            figures |= {"modes": found.covered * len(modes()), "modes_kl": found.kl}
    return figures
