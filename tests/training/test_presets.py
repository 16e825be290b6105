"""`preset: tabular` in a file of one line each: it trains, is published, and gives way to what stands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ebm import artifact
from ebm.card import model_card
from ebm.config import read_yaml
from ebm.errors import BadConfig
from ebm.runs import prepare, train
from ebm.training import presets
from ebm.training.config import ModelConfig, TrainConfig

SHORT = {"n_steps": 20, "warmup_steps": 5}


def table(folder: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["speed,colour,state"]
    for state, shift, n in (("ok", 0, 150), ("broken", 6, 20)):
        lines += [f"{x + shift:.4f},{rng.choice(['red', 'blue'])},{state}" for x in rng.normal(size=n)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")


def read(folder: Path, **changes: Any) -> TrainConfig:
    data = {"kind": "file", "path": "rows.csv", "label_column": "state", "normal": ["ok"]}
    file = folder / "model.yaml"
    file.write_text(yaml.safe_dump({"name": "pumps", "preset": "tabular", "data": data} | changes))
    return read_yaml(TrainConfig, file)


def test_it_stands_for_the_default_of_tables(tmp_path: Path) -> None:
    config = read(tmp_path)
    default = ModelConfig.model_validate(presets.tabular())
    for field in ("preprocessing", "terms", "sampling", "calibration"):
        assert getattr(config, field) == getattr(default, field)
    assert [term.name for term in config.terms] == ["kernels", "network"]
    assert config.calibration == "leave_one_out"
    assert (config.split.train, config.split.calibration) == (0.8, 0)
    assert [t["name"] for t in presets.tabular(network=False)["terms"]] == ["kernels"]


def test_what_is_given_beside_it_takes_precedence(tmp_path: Path) -> None:
    kernel = [{"name": "k", "energy": {"kind": "kernel"}}]
    config = read(tmp_path, terms=kernel, sampling=None, split={"train": 0.5}, calibration="split", seed=7)
    assert [term.name for term in config.terms] == ["k"]
    assert config.sampling is None and config.seed == 7
    assert (config.split.train, config.split.calibration) == (0.5, 0.2)
    assert config.preprocessing.kind == "mixed"


def test_a_split_without_rows_cannot_calibrate(tmp_path: Path) -> None:
    with pytest.raises(
        BadConfig, match="calibration 'split' needs rows: give 'split.calibration' above 0"
    ) as e:
        read(tmp_path, calibration="split")
    assert "\n" not in str(e.value) and "model.yaml" in str(e.value)
    with pytest.raises(BadConfig, match="preset 'images' is not known; there are 'tabular' and 'image'"):
        read(tmp_path, preset="images")


def test_it_trains_and_what_is_published_scores_the_same(tmp_path: Path) -> None:
    table(tmp_path)
    terms = presets.tabular()["terms"]
    terms[1]["training"] |= SHORT
    config = read(tmp_path, terms=terms)
    detector = train(config, base_dir=tmp_path, run_dir=tmp_path / "run")
    data = detector.manifest.data
    assert (data.n_train, data.n_calibration, data.n_test) == (120, 0, 30)
    assert (detector.manifest.calibration.method, detector.calibration.n) == ("leave_one_out", 120)
    assert detector.manifest.metrics["auroc"] > 0.95
    loaded = artifact.load(artifact.publish(detector, tmp_path / "models", model_card(detector.manifest)))
    assert loaded.can == {"score", "explain", "impute", "generate", "denoise"}
    parts = prepare(config, tmp_path)
    for rows in (parts.test, parts.anomalies):
        one, other = detector.score(rows), loaded.score(rows)
        assert np.array_equal(one.energy, other.energy) and np.array_equal(one.p_value, other.p_value)
    drawn = loaded.generate(3, seed=1).samples
    assert drawn.equals(detector.generate(3, seed=1).samples) and drawn.num_rows == 3
    # The written configuration needs no preset to say the same.
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert TrainConfig.model_validate(written) == config
