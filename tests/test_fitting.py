"""Training sets that cannot give a model end in one line that says why; calibration holds on new normal rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from ebm.config import validate
from ebm.errors import BadConfig, BadInput
from ebm.fitting import fit_detector
from ebm.runs import prepare, train
from ebm.training.config import TrainConfig

TABLE = {
    "name": "table",
    "data": {"kind": "file", "path": "rows.csv"},
    "preprocessing": {"kind": "standardize"},
    "terms": [{"name": "kernel", "energy": {"kind": "kernel"}}],
}


def config(**changes: object) -> TrainConfig:
    return validate(TrainConfig, TABLE | changes, "test")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,2\n", "1 normal rows leave 0 for training"),
        ("a,b\n" + "3,4\n" * 50, "constant"),
        ("a,b\n" + "3,x\n" * 50, "row 0, column 'b'"),
    ],
    ids=["one_row", "constant", "text"],
)
def test_training_sets_that_cannot_be_used(rows: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(rows)
    with pytest.raises(BadInput, match=message) as caught:
        train(config(), base_dir=tmp_path, run_dir=tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"rows\.csv"):
        train(config(), base_dir=tmp_path)


def test_calibration_needs_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(BadInput, match="at least 2 normal rows, got 1"):
        fit_detector(config(), rows, rows[:1])


def test_actual_false_positive_rates_are_the_requested() -> None:
    rates = (0.01, 0.05, 0.2)
    actual = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        detector = fit_detector(config(), rng.normal(size=(200, 3)), rng.normal(size=(999, 3)))
        p_values = detector.score(rng.normal(size=(5000, 3))).p_value
        actual.append([float((p_values <= fpr).mean()) for fpr in rates])
    for fpr, found in zip(rates, np.mean(actual, axis=0), strict=True):
        # Over calibration sets of 999 rows the rate has mean fpr and variance fpr (1 - fpr) / 1001; three sds of ten.
        assert abs(found - fpr) < 3 * (fpr * (1 - fpr) * (1 / 1001 + 1 / 5000) / 10) ** 0.5


def write_table(folder: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["a,b,state"]
    lines += [f"{x:.4f},{y:.4f},ok" for x, y in rng.normal(size=(120, 2))]
    lines += [f"{x:.4f},{y:.4f},broken" for x, y in rng.normal(4, 1, size=(20, 2))]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")


LABELLED = {"kind": "file", "path": "rows.csv", "label_column": "state", "normal": ["ok"]}


def test_a_run_measures_itself_and_leaves_its_folder(tmp_path: Path) -> None:
    write_table(tmp_path)
    net = {
        "name": "net",
        "energy": {"kind": "mlp", "width": 8, "depth": 2},
        "objective": {"kind": "cd", "k_steps": 2, "sampler": {"kind": "langevin", "step_size": 0.05}},
        "training": {"n_steps": 30, "log_every": 10, "checkpoint_every": 10},
    }
    settings = config(data=LABELLED, terms=[TABLE["terms"][0], net])  # type: ignore[index]
    detector = train(settings, base_dir=tmp_path, run_dir=tmp_path / "run")
    assert detector.columns == ["a", "b"]
    data = detector.manifest.data
    assert (data.n_train, data.n_calibration, data.n_test) == (72, 24, 24)
    assert detector.manifest.metrics["auroc"] > 0.95
    assert set(detector.manifest.baselines) == {"knn1", "knn5", "isolation_forest"}
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names == {"config.yaml", "metrics.jsonl", "checkpoints", "curves.png"}
    log = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert log.count('"loss"') == 3 and '"term": "model", "step": 30, "noise/data"' in log
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert validate(TrainConfig, written, "written") == settings

    again = train(settings, base_dir=tmp_path, run_dir=tmp_path / "run", resume=True)
    rows = prepare(settings, tmp_path).test
    np.testing.assert_array_equal(again.energies(rows), detector.energies(rows))
    with pytest.raises(BadConfig, match="holds a run already"):
        train(settings, base_dir=tmp_path, run_dir=tmp_path / "run")
    with pytest.raises(BadConfig, match="differs from the configuration"):
        train(
            settings.model_copy(update={"seed": 1}), base_dir=tmp_path, run_dir=tmp_path / "run", resume=True
        )
    with pytest.raises(BadConfig, match="no run to resume"):
        train(settings, base_dir=tmp_path, run_dir=tmp_path / "none", resume=True)


def test_a_folder_whose_run_failed_at_once_can_be_used_again(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n" + "3,4\n" * 50)
    with pytest.raises(BadInput, match="constant"):
        train(config(), base_dir=tmp_path, run_dir=tmp_path / "run")
    write_table(tmp_path)
    assert train(config(data=LABELLED), base_dir=tmp_path, run_dir=tmp_path / "run").name == "table"


def test_the_parts_of_a_split_are_disjoint(tmp_path: Path) -> None:
    write_table(tmp_path)
    parts = prepare(config(data=LABELLED), tmp_path)
    rows = [
        tuple(row) for part in (parts.train, parts.calibration, parts.test, parts.anomalies) for row in part
    ]
    assert len(rows) == len(set(rows)) == 140
    assert len(parts.anomalies) == 20
