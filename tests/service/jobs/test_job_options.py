"""The options of jobs: what is refused before a job is accepted, and what a worker makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from ebm.errors import BadInput
from service.jobs.job import Submission
from service.jobs.options import batch_spec, check_options, train_values


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("score", {}),
        ("score", {"fdr": 0.1, "rows_per_chunk": 10, "on_error": "fail", "format": "csv", "overwrite": True}),
        ("denoise", {"sigma": 0.3, "kind": "denoise"}),
        ("generate", {"n": 5, "seed": 1}),
        ("train", {"preset": "tabular", "label": "state", "normal": ["ok", 1], "contamination": "auto"}),
        ("train", {"preset": "image", "size": [64, 64]}),
        ("train", {"config": {"anything": 1}}),
    ],
)
def test_good_options_are_taken(kind: Any, options: dict[str, Any]) -> None:
    check_options(kind, options)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("score", {"fpr": 2}, "options: score.fpr: Input should be less than 1"),
        ("score", {"frp": 0.1}, "options: score.frp: Extra inputs"),
        ("score", {"kind": "train"}, "options: kind: 'train', but the job's is 'score'"),
        ("score", {"rows_per_chunk": 0}, "options: rows_per_chunk: "),
        ("score", {"model": "other"}, "options: score.model: Extra inputs"),
        ("generate", {}, "options: generate.n: Field required"),
        ("denoise", {"method": "magic"}, "options: denoise.method: "),
        ("train", {}, "needs either 'preset' or 'config'"),
        ("train", {"preset": "tabular", "config": {}}, "needs either 'preset' or 'config'"),
        ("train", {"config": {}, "seed": 1}, "seed: of a preset"),
        ("train", {"preset": "tabular", "label": "x"}, "say which of its values are normal"),
        ("train", {"preset": "tabular", "size": [8, 8]}, "size: not an option"),
        ("train", {"preset": "image", "contamination": 0.1}, "contamination: not an option"),
        ("train", {"preset": "tabular", "contamination": 0.9}, "contamination"),
        ("train", {"preset": "audio"}, "preset"),
    ],
)
def test_bad_options_are_named(kind: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_options(kind, options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_an_input_goes_with_what_reads_one() -> None:
    with pytest.raises(BadInput, match="input: none goes with"):
        batch_spec("generate", {"n": 1}, model="m", input="in", output="out")
    with pytest.raises(BadInput, match="input: missing"):
        batch_spec("score", {}, model="m", input=None, output="out")
    spec = batch_spec(
        "score", {"fpr": 0.1, "format": "csv"}, model="m", input="in", output="out", device="cuda"
    )
    assert (spec.model, spec.input, spec.output, spec.format, spec.device) == (
        "m",
        "in",
        "out",
        "csv",
        "cuda",
    )
    assert spec.options.kind == "score" and spec.options.fpr == 0.1


def trained(**given: Any) -> dict[str, Any]:
    values = {"kind": "train", "model": "pumps", "output": "", "input": "/data/rows.csv"}
    return train_values(Submission(**{**values, **given}))


def test_a_preset_makes_what_the_command_line_makes() -> None:
    from pathlib import Path

    from ebm.cli.preset import PresetOptions, preset_config
    from ebm.config import validate
    from ebm.training.config import TrainConfig

    file = Path(__file__).absolute()
    labels = {"label": "state", "normal": ["ok"], "ignore": ["id"], "seed": 3}
    for options in ({"contamination": 0.1}, labels, {}):
        made = trained(input=str(file), version="2", options={"preset": "tabular", **options})
        typed: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in options.items()
        }
        if "contamination" in typed:
            typed["contamination"] = str(typed["contamination"])
        asked = PresetOptions(data=file, name="pumps", version="2", **typed)
        assert validate(TrainConfig, made, "job") == preset_config("tabular", asked)
    image = trained(input=str(file), options={"preset": "image", "size": [8, 16]})
    asked = PresetOptions(data=file, name="pumps", size="8x16")
    assert validate(TrainConfig, image, "job") == preset_config("image", asked)


def test_a_configuration_gets_name_version_and_data_of_the_job() -> None:
    config = {"name": "x", "version": "9", "data": {"label_column": "s", "path": "elsewhere"}, "seed": 5}
    made = trained(version="2", options={"config": config})
    assert made == {
        "name": "pumps",
        "version": "2",
        "data": {"label_column": "s", "kind": "file", "path": "/data/rows.csv"},
        "seed": 5,
    }
    builtin = {"data": {"kind": "builtin", "name": "digits"}}
    assert trained(input=None, options={"config": builtin})["data"] == builtin["data"]
    with pytest.raises(BadInput, match="input: missing"):
        trained(input=None, options={"preset": "tabular"})
