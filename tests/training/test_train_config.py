"""A configuration that cannot work is refused in one line, which names the file and the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ebm.config import read_yaml
from ebm.errors import BadConfig
from ebm.training.config import TrainConfig

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
KERNEL = {"name": "k", "energy": {"kind": "kernel"}}
NET = {
    "name": "net",
    "energy": {"kind": "residual"},
    "objective": {"kind": "dsm", "sigma_min": 0.1, "sigma_max": 1.0},
    "sigmas": [0.1],
}
CD_NET = {"name": "cd_net", "energy": {"kind": "mlp"}, "objective": {"kind": "cd"}}
ANNEALED = {"kind": "annealed_langevin", "sigma_min": 0.1, "sigma_max": 1.0, "n_levels": 3}
GOOD: dict[str, Any] = {
    "name": "x",
    "data": {"kind": "builtin", "name": "digits"},
    "preprocessing": {"kind": "image", "low": 0, "high": 16},
    "terms": [KERNEL, NET],
}


def read(tmp_path: Path, values: Any) -> TrainConfig:
    file = tmp_path / "model.yaml"
    file.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return read_yaml(TrainConfig, file)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_the_shipped_configurations_are_valid(path: Path) -> None:
    assert read_yaml(TrainConfig, path).name == path.stem


def test_a_good_configuration_is_frozen(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("term", "sampler"),
    [
        ("k", ANNEALED),
        ("k", {"kind": "mala", "step_size": 0.1}),
        ("net", ANNEALED),
        ("cd_net", {"kind": "langevin", "step_size": 0.1}),
    ],
)
def test_samplers_that_fit_their_energy(term: str, sampler: dict[str, Any], tmp_path: Path) -> None:
    sampling = {"term": term, "sampler": sampler}
    config = read(tmp_path, GOOD | {"terms": [KERNEL, NET, CD_NET], "sampling": sampling})
    assert config.sampling is not None and config.sampling.term == term


def net(**changes: Any) -> dict[str, Any]:
    return {"terms": [NET | changes]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sead": 1}, r"sead: Extra inputs"),
        ({"name": "Not A Name"}, r"name: "),
        ({"terms": []}, r"terms: "),
        ({"terms": [KERNEL, KERNEL]}, r"same name"),
        (net(energy={"kind": "resnet"}), r"terms\.0\.energy: .*resnet"),
        (net(objective={"kind": "cd"}), r"only be trained by objective kind 'dsm'"),
        (net(objective=None), r"'residual' needs an 'objective'"),
        (net(sigmas=[]), r"needs 'sigmas'"),
        (net(training={"n_steps": 0}), r"training\.n_steps"),
        (net(training={"learning_rate": float("nan")}), r"learning_rate"),
        (net(training={"betas": [0.9, 1.5]}), r"training\.betas\.1"),
        (net(energy={"kind": "residual", "width": 0}), r"width"),
        (net(energy={"kind": "residual", "depth": 0}), r"depth"),
        ({"terms": [CD_NET | {"energy": {"kind": "mlp", "width": -1}}]}, r"width"),
        ({"terms": [CD_NET | {"energy": {"kind": "mlp", "depth": 0}}]}, r"depth"),
        ({"terms": [CD_NET | {"energy": {"kind": "conv", "widths": []}}]}, r"widths"),
        ({"terms": [CD_NET | {"energy": {"kind": "conv", "widths": [4, 0]}}]}, r"widths\.1"),
        ({"terms": [KERNEL | {"energy": {"kind": "kernel", "bandwidth": -1}}]}, r"bandwidth"),
        ({"terms": [KERNEL | {"energy": {"kind": "kernel", "neighbour": 0}}]}, r"neighbour"),
        ({"terms": [KERNEL | {"energy": {"kind": "kernel", "adaptive": -1}}]}, r"adaptive"),
        ({"terms": [KERNEL | {"sigmas": [0.1, -0.1]}]}, r"sigmas\.1"),
        (
            net(objective={"kind": "dsm", "sigma_min": 1, "sigma_max": 0.1}),
            r"'sigma_max' is below 'sigma_min'",
        ),
        (
            {"terms": [CD_NET | {"objective": {"kind": "persistent_cd", "buffer_size": 100}}]},
            r"'buffer_size' 100 is below 'batch_size' 128$",
        ),
        ({"seed": 2**32}, r"seed"),
        ({"terms": [KERNEL | {"objective": {"kind": "cd"}}]}, r"fitted, not trained"),
        ({"terms": [NET | {"energy": {"kind": "mlp"}, "sigmas": []}]}, r"noise_conditional: true"),
        ({"split": {"train": 0.7, "calibration": 0.5}}, r"split: .*must not exceed 1"),
        (
            {"sampling": {"term": "other", "sampler": {"kind": "langevin", "step_size": 1}}},
            r"unknown term 'other'",
        ),
        (
            {"sampling": {"term": "net", "sampler": {"kind": "langevin", "step_size": 0.1}}},
            r"term 'net' is noise-conditional: it needs sampler kind 'annealed_langevin'",
        ),
        (
            {"terms": [CD_NET], "sampling": {"term": "cd_net", "sampler": ANNEALED}},
            r"'annealed_langevin' needs a noise-conditional energy; term 'cd_net' has none",
        ),
        (
            {
                "sampling": {
                    "term": "net",
                    "coarse_term": "k",
                    "sampler": {"kind": "langevin", "step_size": 1},
                }
            },
            r"go together",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=message) as caught:
        read(tmp_path, GOOD | change)
    assert str(caught.value).startswith(str(tmp_path / "model.yaml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a list", "a: [1", "\x00"], ids=["empty", "list", "broken", "binary"])
def test_files_that_hold_no_configuration(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"model\.yaml: ") as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="none.yaml: no such file"):
        read_yaml(TrainConfig, tmp_path / "none.yaml")
