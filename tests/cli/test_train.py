from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from ebm import artifact
from ebm.run_log import RunLog


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_a_run_leaves_its_traces_and_a_model(workshop, published):
    run = workshop / "runs" / "table"
    assert {p.name for p in run.iterdir()} >= {"config.yaml", "metrics.jsonl", "checkpoints", "curves.png"}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps, looks = ([line["step"] for line in lines if ("loss" in line) == it] for it in (True, False))
    assert steps == [5, 10, 15, 20] and looks == [5, 10, 15, 20]
    manifest = artifact.verify(published / "table" / "1")
    assert set(manifest.baselines) == {"knn1", "knn5", "isolation_forest"}
    card = (published / "table" / "1" / "card.md").read_text()
    assert f"| **this model** | {manifest.metrics['auroc']:.3f} |" in card
    assert f"| 1-NN | {manifest.baselines['knn1']['auroc']:.3f} |" in card
    assert "60 normal rows to train, 30 to calibrate, 30 to test" in card and "seed 0" in card


def test_the_answer_for_people_and_for_machines(ebm, workshop, tmp_path):
    args = ("train", workshop / "plain.yaml", "--models", tmp_path / "models", "--run-dir", tmp_path / "run")
    answer = ebm(*args, "--json", ok=True)
    assert answer.json["path"] == str(tmp_path / "models/plain/1") and answer.err == ""
    assert set(answer.json["baselines"]) == {"knn1", "knn5", "isolation_forest"}
    shutil.rmtree(tmp_path / "run")
    result = ebm(*args, "--no-publish", ok=True)
    assert result.out == "" and "AUROC" in result.err and "not published" in result.err


def test_a_version_is_never_overwritten(ebm, workshop, published, tmp_path):
    before = files_of(published / "plain" / "1")
    args = ("train", workshop / "plain.yaml", "--models", published, "--run-dir", tmp_path / "run")
    assert "published already" in ebm(*args).error()
    assert files_of(published / "plain" / "1") == before
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed_equals_uninterrupted(
    ebm, workshop, published, tmp_path, monkeypatch, number
):
    args = ("train", workshop / "table.yaml", "--models", tmp_path / "models", "--run-dir", tmp_path / "run")
    write = RunLog.write

    def interrupt(self, term, step, figures):
        write(self, term, step, figures)
        if step == 10:
            os.kill(os.getpid(), number)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "write", interrupt)
        result = ebm(*args)
    assert result.code == 130 and "stopped at step 10 of 20" in result.err and "--resume" in result.err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert not (tmp_path / "models").exists()
    ebm(*args, "--resume", ok=True)
    name = "weights.safetensors"
    assert files_of(tmp_path / "models/table/1")[name] == files_of(published / "table" / "1")[name]


def test_a_folder_that_holds_a_run(ebm, workshop, tmp_path):
    args = ("train", workshop / "plain.yaml", "--models", tmp_path / "models", "--run-dir", tmp_path / "run")
    assert "no run to resume" in ebm(*args, "--resume").error()
    ebm(*args, "--no-publish", ok=True)
    assert "holds a run already" in ebm(*args).error()


KERNEL = (
    "name: x\ndata: {kind: file, path: none.csv}\npreprocessing: {kind: standardize}\n"
    "terms: [{name: k, energy: {kind: kernel, bandwidth: 1.0}}]\n"
)
BAD_CONFIGS = {
    "unknown key": (KERNEL + "colour: red\n", "colour"),
    "not YAML": ("a: [1\n", "not valid YAML"),
    "a list": ("- 1\n", "mapping"),
    "a missing file": (KERNEL, "none.csv: no such file"),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_bad_configurations(ebm, tmp_path, case):
    text, message = BAD_CONFIGS[case]
    config = tmp_path / "config.yaml"
    config.write_text(text)
    args = ("train", config, "--models", tmp_path / "models", "--run-dir", tmp_path / "run")
    assert message in ebm(*args).error()
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [("a,b\n1,2\n", "normal rows"), ("a,b\n" + "1,2\n" * 40, "constant"), ("a,b\n1,x\n", "column 'b': 'x'")],
)
def test_bad_training_data(ebm, tmp_path, rows, message):
    (tmp_path / "rows.csv").write_text(rows)
    (tmp_path / "config.yaml").write_text(KERNEL.replace("none.csv", "rows.csv"))
    args = ("train", tmp_path / "config.yaml", "--models", tmp_path / "models", "--run-dir", tmp_path / "run")
    assert message in ebm(*args).error()
    assert not (tmp_path / "models").exists()


def test_a_missing_configuration(ebm, tmp_path):
    assert "no such file" in ebm("train", tmp_path / "none.yaml").error()
