"""`ebm classify`, and `ebm generate --class`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from family_models import blobs, joint_model

from ebm import artifact

ROWS, LABELS = blobs(30, 4)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models folder with one model of three classes."""
    folder = tmp_path_factory.mktemp("places")
    artifact.publish(joint_model(), folder, "# places")
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = [f"{name},{y},{x}" for name, (x, y) in zip(LABELS, ROWS, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["label,y,x", *lines]) + "\n")
    return tmp_path / "rows.csv"


def test_rows_get_their_class_and_keep_their_columns(command, places, table, tmp_path):
    out = tmp_path / "classes.parquet"
    told = command("classify", "places", table, "--models", places, "-o", out, "--json", ok=True).json
    found, expected = pq.read_table(out), joint_model().classify(ROWS)
    assert found.column_names == [
        *("label", "y", "x", "predicted"), "p_left", "p_right", "p_above", "energy", "p_value"
    ]  # fmt: skip
    assert found["label"].to_pylist() == LABELS.tolist()
    assert found["predicted"].to_pylist() == expected.label
    np.testing.assert_allclose(found["p_right"], expected.probabilities[:, 1], rtol=1e-5)
    np.testing.assert_allclose(found["p_value"], expected.p_value)
    assert told["rows"] == 30 and told["classes"]["above"] == expected.label.count("above")
    assert told["unusual"] == int((expected.p_value <= 0.05).sum())


def test_arrays_go_to_stdout(command, places, tmp_path):
    np.save(tmp_path / "rows.npy", ROWS[:2].astype(np.float32))
    text = command("classify", "places", tmp_path / "rows.npy", "--models", places, ok=True).out
    found = pyarrow.csv.read_csv(pyarrow.BufferReader(text.encode()))
    assert found["predicted"].to_pylist() == joint_model().classify(ROWS[:2]).label


def test_a_model_without_classes_says_so(ebm, rows):
    assert "cannot classify" in ebm("classify", "table", rows).error()


def test_samples_of_a_class(command, places, tmp_path):
    out = tmp_path / "made.csv"
    asked = "generate", "places", "-n", 12, "--models", places, "-o", out
    command(*asked, "--class", "above", ok=True)
    made = pyarrow.csv.read_csv(out)
    expected = joint_model().generate(12, label="above").samples
    np.testing.assert_allclose(np.column_stack([made["x"], made["y"]]), expected, rtol=1e-5)
    assert "there is no 'below'; there are left, right, above" in command(*asked, "--class", "below").error()
