"""`ebm train tabular`: from a file of rows to a model that scores, without a YAML document."""

from __future__ import annotations

import csv
import os
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest

from ebm import artifact
from ebm.cli.preset import PresetOptions, preset_config
from ebm.errors import BadConfig, BadInput
from ebm.run_log import RunLog
from ebm.training import presets

N_NORMAL, N_ODD = 80, 12


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset as it is, but for the length of the training."""
    whole = presets.tabular

    def short(network: bool = True) -> dict:
        values = whole(network)
        for term in values["terms"]:
            if "training" in term:
                term["training"] |= {"n_steps": 6, "log_every": 2, "checkpoint_every": 2}
        return values

    monkeypatch.setattr(presets, "tabular", short)


@pytest.fixture
def pumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with pumps.csv: an id, a number with nulls, a category, and the label `state`."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with Path("pumps.csv").open("w", newline="") as file:
        write = csv.writer(file).writerow
        write(["id", "flow", "valve", "state"])
        for i in range(N_NORMAL + N_ODD):
            ok = i < N_NORMAL
            flow = f"{rng.normal(0 if ok else 6):.3f}"
            write(
                [
                    f"p{i}",
                    "" if ok and i % 9 == 0 else flow,
                    rng.choice(["open", "shut"]),
                    "ok" if ok else "broken",
                ]
            )
    return tmp_path


LABELLED = ("--label", "state", "--normal", "ok", "--ignore", "id")


def test_a_csv_becomes_a_model_that_scores(command, pumps):
    answer = command(
        "train", "tabular", "--data", "pumps.csv", "--name", "pumps", *LABELLED, "--json", ok=True
    )
    assert answer.json["path"] == "models/pumps/1"
    manifest = artifact.verify(pumps / "models" / "pumps" / "1")
    assert manifest.data.n_train == 0.8 * N_NORMAL and manifest.data.n_test == 0.2 * N_NORMAL
    assert manifest.data.n_calibration == 0 and manifest.calibration.n == manifest.data.n_train
    assert [column["name"] for column in manifest.input["columns"]] == ["flow", "valve"]
    assert manifest.metrics["auroc"] > 0.9
    command("score", "pumps", "pumps.csv", "-o", "scored.csv", ok=True)
    assert len(Path("scored.csv").read_text().splitlines()) == 1 + N_NORMAL + N_ODD


def test_without_labels_every_row_is_learnt(command, pumps):
    args = ("train", "tabular", "--data", "pumps.csv", "--name", "all", "--version", "7", "--ignore", "id")
    result = command(*args, "--contamination", "0.125", "--seed", "3", ok=True)
    manifest = artifact.verify(pumps / "models" / "all" / "7")
    n = N_NORMAL + N_ODD
    assert manifest.data.n_train == n and manifest.data.n_test == 0 and manifest.data.seed == 3
    assert [column["name"] for column in manifest.input["columns"]] == ["flow", "valve", "state"]
    assert manifest.metrics == {}
    (note,) = manifest.notes
    assert f"of {n} training rows" in note and f"note: {note}\n" in result.err


def test_an_npz_with_labels(command, pumps):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(0, 1, (40, 3)), rng.normal(9, 1, (8, 3))])
    np.savez("rows.npz", rows=x, kind=np.repeat([0, 1], [40, 8]))
    # Two arrays, one of them named as the labels: the other one holds the values.
    args = ("--data", "rows.npz", "--name", "arrays", "--label", "kind", "--normal", "0")
    command("train", "tabular", *args, ok=True)
    manifest = artifact.verify(pumps / "models" / "arrays" / "1")
    assert (manifest.data.n_train, manifest.data.n_test) == (32, 8)
    assert manifest.metrics["auroc"] == 1


def test_the_same_settings_as_the_preset_in_yaml():
    config = preset_config("tabular", PresetOptions(Path(__file__), "x", normal=("ok",), label="y"))
    assert config.model_dump(include=set(presets.tabular())) == type(config).model_validate(
        {"preset": "tabular", "name": "z", "data": {"kind": "file", "path": "z.csv"}}
    ).model_dump(include=set(presets.tabular()))
    assert config.contamination is None
    assert {term.name for term in config.terms} == {"kernels", "network"}


def test_interrupted_it_says_how_to_go_on(command, pumps, monkeypatch):
    write = RunLog.write

    def interrupt(self, term, step, figures):
        write(self, term, step, figures)
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    Path("my pumps.csv").write_bytes(Path("pumps.csv").read_bytes())
    args = ("train", "tabular", "--data", "my pumps.csv", "--name", "pumps", *LABELLED)
    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "write", interrupt)
        result = command(*args)
    assert result.code == 130
    typed = shlex.split(result.err.split("go on with: ebm ")[1])
    assert "my pumps.csv" in typed
    command(*typed, ok=True)
    assert artifact.verify(pumps / "models" / "pumps" / "1").metrics["auroc"] > 0.9


MISTAKES = {
    "neither data nor name": ((), "needs --data and --name"),
    "no name": (("--data", "pumps.csv"), "needs --name"),
    "no such file": (("--data", "none.csv", "--name", "x"), "none.csv: no such file"),
    "labels, but which": (("--data", "pumps.csv", "--name", "x", "--label", "state"), "--normal"),
    "no such label": (
        ("--data", "pumps.csv", "--name", "x", "--label", "state", "--normal", "fine"),
        "no row is labelled 'fine'",
    ),
    "no such column": (
        ("--data", "pumps.csv", "--name", "x", "--label", "colour", "--normal", "ok"),
        "colour",
    ),
    "a name that no folder has": (("--data", "pumps.csv", "--name", "My Pumps"), "preset tabular: name"),
    "too large a share": (
        ("--data", "pumps.csv", "--name", "x", "--contamination", "0.6"),
        "--contamination 0.6",
    ),
    "no share": (("--data", "pumps.csv", "--name", "x", "--contamination", "some"), "--contamination some"),
    "not finite": (("--data", "pumps.csv", "--name", "x", "--contamination", "nan"), "--contamination nan"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(command, pumps, case):
    options, message = MISTAKES[case]
    assert message in command("train", "tabular", *options).error()
    assert not (pumps / "models").exists()


def test_a_configuration_takes_no_options_of_presets(command, tmp_path):
    (tmp_path / "x.yaml").write_text("name: x\n")
    error = command("train", tmp_path / "x.yaml", "--data", "pumps.csv", "--seed", "0").error()
    assert "--data, --seed go with a preset" in error


@pytest.mark.parametrize("preset", ["tabular", "image"])
def test_presets_are_checked_as_configurations_are(preset, tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(BadConfig, match="seed"):
        preset_config(preset, PresetOptions(tmp_path / "x.csv", "x", seed=2**32))
    with pytest.raises(BadInput, match="needs --name"):
        preset_config(preset, PresetOptions(tmp_path / "x.csv"))
