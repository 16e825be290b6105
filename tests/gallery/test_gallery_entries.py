"""Every objective is in the gallery, as a configuration would say it, and learns there."""

import typing

import numpy as np
import pytest
import torch
import yaml

from ebm.data import TOY_NAMES, draw_toy
from ebm.data.toy_density import truth
from ebm.fitting import fit_detector
from ebm.gallery import ELSEWHERE, ENTRIES
from ebm.gallery.cell import Size, energy_of, make_cell, measure
from ebm.objectives import ObjectiveConfig
from ebm.training.config import TrainConfig

TINY = Size(steps=0.002, rows=300, chains=20, fresh=100, grid=8, arrows=4)


def test_every_objective_has_an_entry_or_a_reason():
    union, _ = typing.get_args(ObjectiveConfig)
    kinds = {config.model_fields["kind"].default for config in typing.get_args(union)}
    shown = {entry.kind for entry in ENTRIES}
    assert shown | set(ELSEWHERE) == kinds
    assert not shown & set(ELSEWHERE)
    assert len({entry.key for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_an_entry_is_a_configuration_that_trains(entry):
    assert entry.term["objective"]["kind"] == entry.kind
    for name in TOY_NAMES:
        config = entry.config(name)
        as_text = yaml.safe_dump(config.model_dump(mode="json", exclude_none=True))
        assert TrainConfig.model_validate(yaml.safe_load(as_text)) == config
    cell = make_cell(entry, "moons", 0, TINY)
    assert (
        not cell.failed
        and len(cell.losses) == entry.config("moons", steps=TINY.steps).terms[0].training.n_steps
    )
    assert cell.samples is not None and cell.samples.shape == (20, 2)
    assert set(cell.figures) == {"cosine", "fisher", "auroc", "auroc_truth", "distance", "distance_data"}


def test_the_same_seed_gives_the_same_figures():
    entry = next(e for e in ENTRIES if e.key == "nce")
    first, again, other = (make_cell(entry, "rings", seed, TINY) for seed in (3, 3, 4))
    assert first.figures == again.figures and first.losses == again.losses
    assert first.figures != other.figures


def test_the_truth_itself_is_without_fault():
    x, _ = draw_toy("pinwheel", 500, 1)
    figures = measure(truth("pinwheel"), "pinwheel", x, draw_toy("pinwheel", 200, 2)[0], 0)
    assert (figures["cosine"], figures["fisher"]) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
    assert figures["auroc"] == figures["auroc_truth"] > 0.9
    assert abs(figures["distance"] - figures["distance_data"]) < 0.03


def test_energies_are_of_rows_in_user_units():
    entry = next(e for e in ENTRIES if e.key == "nce")
    x = 5 + 3 * draw_toy("moons", 300, 0)[0]
    detector = fit_detector(entry.config("moons", steps=0.01), x[:200], x[200:])
    with torch.no_grad():
        energies = energy_of(detector, None)(torch.from_numpy(x)).numpy()
    assert np.corrcoef(energies, detector.energies(x))[0, 1] > 0.99999
    assert energies.std() > 0.1
