"""The model card says what the manifest says: who calibrated, what was left out, and on which rows."""

from __future__ import annotations

import numpy as np
import pytest

from ebm import EnergyDetector
from ebm.card import model_card
from ebm.manifest import Manifest


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 3))


def manifest_of(**options: object) -> Manifest:
    """Of a model saved from memory."""
    return EnergyDetector(network=False, **options).fit(rows(60)).detector_.manifest  # type: ignore[arg-type]


def test_leave_one_out_calibration_is_said():
    card = model_card(manifest_of())
    assert (
        "- Split (seed 0): 60 normal rows to train; they also calibrate, each by a model that has not seen it"
        in card
    )
    assert "0 to calibrate" not in card and "; 0 to test" in card
    assert "`kernels` (kernel_views energy in the views standard, quantile, tail, fitted, weight 1)" in card


def test_calibration_by_a_part_of_the_training_rows():
    manifest = manifest_of()
    fewer = manifest.model_copy(update={"calibration": manifest.calibration.model_copy(update={"n": 50})})
    assert "60 normal rows to train; 50 of them also calibrate" in model_card(fewer)


def test_calibration_by_rows_set_aside():
    manifest = manifest_of()
    split = manifest.model_copy(
        update={
            "calibration": manifest.calibration.model_copy(update={"method": "split"}),
            "data": manifest.data.model_copy(update={"n_calibration": 20, "n_test": 9}),
        }
    )
    assert "60 normal rows to train, 20 to calibrate, 9 to test" in model_card(split)


def test_notes_are_there():
    manifest = manifest_of(contamination=0.1)
    (note,) = manifest.notes
    assert f"- Note: {note}" in model_card(manifest).splitlines()


@pytest.mark.parametrize(
    ("source", "line"), [("", "- Data: given in memory"), ("a.csv", "- Data: a.csv, sha256 `01`")]
)
def test_where_the_rows_came_from(source, line):
    manifest = manifest_of()
    data = manifest.data.model_copy(update={"source": source, "fingerprint": "01"})
    card = model_card(manifest.model_copy(update={"data": data}))
    assert line in card.splitlines()
    assert card.splitlines()[2].startswith("- Data")  # no description, no empty paragraph
