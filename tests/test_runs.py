"""Whole runs: stopped and resumed over several terms, measured, and leaving pictures behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ebm.config import validate
from ebm.detector import Detector
from ebm.errors import Cancelled, Diverged
from ebm.evaluation.corruptions import CORRUPTIONS
from ebm.runs import Prepared, measure, prepare, train
from ebm.training.config import TrainConfig

LOOP = {"n_steps": 40, "batch_size": 32, "log_every": 5, "checkpoint_every": 20, "warmup_steps": 5}
NET = {
    "name": "first",
    "energy": {"kind": "residual", "width": 8, "depth": 1},
    "objective": {"kind": "dsm", "sigma_min": 0.1, "sigma_max": 3.0},
    "training": LOOP,
    "sigmas": [0.2],
}
CHAINS = {
    "name": "second",
    "energy": {"kind": "mlp", "width": 8, "depth": 1},
    "objective": {"kind": "persistent_cd", "k_steps": 2, "buffer_size": 64, "l2": 0.1},
    "training": LOOP,
}
ANNEALED = {"kind": "annealed_langevin", "sigma_min": 0.1, "sigma_max": 3.0, "n_levels": 2}
IMAGES = {
    "name": "images",
    "data": {"kind": "builtin", "name": "digits", "normal": [0, 1]},
    "preprocessing": {"kind": "image", "low": 0, "high": 16},
    "terms": [NET, CHAINS],
    "sampling": {"term": "first", "sampler": ANNEALED},
}


def config(**changes: Any) -> TrainConfig:
    return validate(TrainConfig, IMAGES | changes, "test")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, Path]:
    """An uninterrupted run of both terms."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return train(config(), run_dir=folder), folder


def logged(folder: Path) -> list[str]:
    return (folder / "metrics.jsonl").read_text().splitlines()


@pytest.mark.parametrize("stop_at", [("first", 25), ("second", 15)], ids=lambda v: f"{v[0]}_{v[1]}")
def test_a_stopped_run_resumes_to_the_same_model(
    whole: tuple[Detector, Path], stop_at: tuple[str, int], tmp_path: Path
) -> None:
    seen: list[tuple[str, int]] = []
    with pytest.raises(Cancelled, match=f"step {stop_at[1]} of 40"):
        train(
            config(),
            run_dir=tmp_path / "run",
            on_step=lambda term, step, n, figures: seen.append((term, step)),
            should_stop=lambda: bool(seen) and seen[-1] == stop_at,
        )
    assert seen[-1] == stop_at
    again: list[tuple[str, int]] = []
    detector = train(
        config(),
        run_dir=tmp_path / "run",
        resume=True,
        on_step=lambda term, step, n, figures: again.append((term, step)),
    )
    expected, folder = whole
    # Each step was taken once, so the second part went on from where the first stopped.
    assert seen + again == [(term, step) for term in ("first", "second") for step in range(5, 41, 5)]
    for name, value in expected.energy.state_dict().items():
        np.testing.assert_array_equal(detector.energy.state_dict()[name], value, err_msg=name)
    np.testing.assert_array_equal(detector.calibration.scores, expected.calibration.scores)
    # Eight lines and three looks of each term, and one of the model at the end.
    assert logged(tmp_path / "run") == logged(folder) and len(logged(folder)) == 2 * (8 + 3) + 1
    a, b = (m.model_copy(update={"created": "today"}) for m in (detector.manifest, expected.manifest))
    assert a == b


def test_what_an_image_run_leaves(whole: tuple[Detector, Path]) -> None:
    detector, folder = whole
    names = {"config.yaml", "metrics.jsonl", "checkpoints", "curves.png", "samples.png"}
    names |= {"energies.png", "denoising.png", "chain.png", "pictures"}
    assert {p.name for p in folder.iterdir()} == names
    # At each quarter of either term but the last: what it samples, denoises, and how its energies lie.
    for term in config().terms:
        steps = [k * (term.training.n_steps // 4) for k in (1, 2, 3)]
        kinds = ["samples", "denoising", "energies"] + (["chain"] if term.name == "second" else [])
        expected = {f"{kind}-{step}.png" for kind in kinds for step in steps}
        assert {p.name for p in (folder / "pictures" / term.name).iterdir()} == expected
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {
        "first.safetensors",
        "second.safetensors",
    }
    with Image.open(folder / "samples.png") as picture:  # 8 x 8 samples of 32 x 32 pixels, a frame of 1
        assert picture.size == (8 * 33 + 1, 8 * 33 + 1)
        assert np.ptp(np.asarray(picture)) > 100
    with Image.open(folder / "curves.png") as picture:
        assert picture.width > picture.height > 100
    lines = [json.loads(line) for line in logged(folder)]
    steps, looks = ([line for line in lines if ("loss" in line) == it] for it in (True, False))
    names = {"loss", "reg", "cd", "real", "fake", "gap", "gradient_norm", "learning_rate"}
    assert names <= steps[-1].keys()
    assert [(line["term"], line["step"]) for line in looks] == [
        *((term, step) for term in ("first", "second") for step in (10, 20, 30)),
        ("model", 40),
    ]
    kinds = ("uniform", "gaussian", "shuffled")
    figures = {"noise/data", *(f"noise/{kind}{what}" for kind in kinds for what in ("", "_auroc"))}
    assert all(line.keys() == {"term", "step"} | figures for line in looks)
    assert detector.manifest.training == config().model_dump(mode="json")


def test_a_run_without_a_folder_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(config(terms=[NET]), base_dir=tmp_path).name == "images"
    assert list(tmp_path.iterdir()) == []


def test_a_table_leaves_histograms_of_its_samples(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(80, 2))
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    table = {"data": {"kind": "file", "path": "rows.npy"}, "preprocessing": {"kind": "standardize"}}
    detector = train(config(**table, terms=[NET]), run_dir=tmp_path / "run", base_dir=tmp_path)
    with Image.open(tmp_path / "run" / "samples.png") as picture:
        assert picture.width > 2 * picture.height > 200
    # No labelled anomalies, no pictures to damage: nothing to measure against.
    assert detector.manifest.metrics == {} and detector.manifest.baselines == {}


def test_a_run_that_diverges_after_a_checkpoint_keeps_what_it_has(tmp_path: Path) -> None:
    wild = CHAINS | {"training": LOOP | {"learning_rate": 1e30, "clip": 1e30, "warmup_steps": 0}}
    with pytest.raises(Diverged, match="again after going back"):
        train(config(terms=[NET, wild]), run_dir=tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "first.safetensors").exists()
    assert (tmp_path / "run" / "config.yaml").exists() and len(logged(tmp_path / "run")) >= 8


def test_measurement_is_against_what_there_is(tiny: Detector, digits: np.ndarray, tmp_path: Path) -> None:
    parts = prepare(config(), tmp_path)
    rows = Prepared(digits[:100], digits[200:250], digits[250:300], parts.anomalies[:60], parts.table)
    against_labels = measure(tiny, rows, seed=0)
    assert not any(name.startswith("auroc_") for name in against_labels["model"])
    damaged = measure(
        tiny, Prepared(rows.train, rows.calibration, rows.test, rows.anomalies[:0], rows.table), 0
    )
    assert {f"auroc_{kind}" for kind in CORRUPTIONS} <= damaged["model"].keys()
    for found in (against_labels, damaged):
        assert found.keys() == {"model", "knn1", "knn5", "isolation_forest"}
    empty = Prepared(rows.train, rows.calibration, rows.test[:0], rows.anomalies, rows.table)
    assert measure(tiny, empty, 0) == {}
