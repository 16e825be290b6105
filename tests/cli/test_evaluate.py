from __future__ import annotations

import shutil

import numpy as np
import pytest

from ebm import artifact

BASELINES = {"knn1", "knn5", "isolation_forest"}


def test_the_test_split_again_gives_the_manifest_s_figures(ebm, workshop, published):
    answer = ebm("evaluate", "table", "--base-dir", workshop, "--json", ok=True).json
    manifest = artifact.read_manifest(published / "table" / "1")
    assert answer["metrics"] == pytest.approx(manifest.metrics)
    assert set(answer["baselines"]) == BASELINES
    assert answer["baselines"]["knn1"] == pytest.approx(manifest.baselines["knn1"])


def test_the_table_for_people(ebm, workshop):
    out = ebm("evaluate", "plain", "--base-dir", workshop, ok=True).out
    assert "auroc" in out and "isolation_forest" in out and "this model" in out


def test_labelled_rows_of_one_s_own(ebm, workshop):
    args = (
        "evaluate",
        "table",
        workshop / "train.csv",
        "--label-column",
        "kind",
        "--base-dir",
        workshop,
        "--json",
    )
    answer = ebm(*args, ok=True).json
    assert set(answer["baselines"]) == BASELINES and answer["note"] is None
    assert answer["metrics"]["auroc"] > 0.95
    turned = ebm(*args, "--normal", "odd", ok=True).json
    assert turned["metrics"]["auroc"] == pytest.approx(1 - answer["metrics"]["auroc"])


def test_without_the_training_data_there_are_no_baselines(ebm, workshop, tmp_path):
    args = (
        "evaluate",
        "table",
        workshop / "train.csv",
        "--label-column",
        "kind",
        "--base-dir",
        tmp_path,
        "--json",
    )
    answer = ebm(*args, ok=True).json
    assert answer["baselines"] == {} and "no baselines" in answer["note"] and "train.csv" in answer["note"]
    beside = ebm(*args[:-3], "--base-dir", workshop, "--json", ok=True).json
    assert answer["metrics"] == pytest.approx(beside["metrics"])


def test_training_data_that_changed_are_refused(ebm, workshop, tmp_path):
    shutil.copy(workshop / "train.csv", tmp_path / "train.csv")
    text = (tmp_path / "train.csv").read_text()
    (tmp_path / "train.csv").write_text(text.replace("good,", "good,1", 1))
    assert "differs from the data" in ebm("evaluate", "table", "--base-dir", tmp_path).error()


def test_labels_in_a_npz(ebm, tmp_path, published):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 17, (20, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "set.npz", X=values, y=np.r_[np.zeros(10, int), np.ones(10, int)])
    assert "--normal" in ebm("evaluate", "pictures", tmp_path / "set.npz").error()
    answer = ebm("evaluate", "pictures", tmp_path / "set.npz", "--normal", "0", "--json", ok=True).json
    detector = artifact.load(published / "pictures" / "1")
    p = detector.score(values[:10]).p_value
    assert answer["metrics"]["actual_fpr"] == pytest.approx((p <= 0.05).mean())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "--label-column"),
        (("--label-column", "nothing"), "no column 'nothing'"),
        (("--label-column", "kind", "--normal", "nobody"), "no row is labelled 'nobody'"),
        (("--label-column", "kind", "--normal", "good", "--normal", "odd"), "every row is normal"),
    ],
)
def test_bad_use(ebm, workshop, args, message):
    assert message in ebm("evaluate", "table", workshop / "train.csv", *args).error()


def test_options_that_need_data(ebm):
    assert "DATA" in ebm("evaluate", "table", "--normal", "good").error()
