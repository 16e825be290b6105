from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ebm import artifact
from ebm.compose import Composition

VALUES = np.array([[0.3, 0.2, 0.1], [9, 9, 9], [1, 0, -0.5]], dtype=np.float32)
BOTH = ("--term", "table:2", "--term", "plain")


@pytest.fixture
def composition(published: Path) -> Composition:
    return Composition([artifact.load(published / name / "1") for name in ("table", "plain")], [2.0, 1.0])


def test_scores_beside_the_own_columns(ebm, rows, tmp_path, composition):
    result = ebm("compose", "score", rows, *BOTH, "-o", tmp_path / "s.parquet", "--fpr", 0.2, ok=True)
    want = composition.score(VALUES, fpr=0.2)
    assert f"3 rows, {want.is_anomaly.sum()} anomalies at fpr 0.2" in result.err and want.is_anomaly[1]
    table = pq.read_table(tmp_path / "s.parquet")
    added = ["energy", "rank", "p_value", "is_anomaly", "energy table/1", "p_value table/1", "energy plain/1"]
    assert table.column_names == ["id", "d", "remark", "b, c", "a", *added, "p_value plain/1"]
    np.testing.assert_allclose(table["energy"].to_numpy(), want.energy, rtol=1e-6)
    np.testing.assert_allclose(table["p_value"].to_numpy(), want.p_value)
    np.testing.assert_array_equal(table["rank"].to_numpy(), want.rank)
    np.testing.assert_allclose(table["energy plain/1"].to_numpy(), want.terms[1].energy, rtol=1e-6)


def test_a_negative_weight_leaves_p_values_empty(ebm, rows, tmp_path):
    result = ebm(
        "compose", "score", rows, "--term", "table", "--term", "plain:-0.5", "-o", tmp_path / "s.csv", ok=True
    )
    assert "note: a negative weight" in result.err and "3 rows, no p-values" in result.err
    table = pacsv.read_csv(tmp_path / "s.csv")
    assert table["p_value"].null_count == table["is_anomaly"].null_count == 3
    assert sorted(table["rank"].to_pylist()) == [1, 2, 3]


def test_json_and_either(ebm, rows, published):
    answer = ebm(
        "compose", "score", rows, *BOTH, "--mode", "either", "--temperature", 0.5, "--fdr", 0.3, "--json", ok=True
    ).json  # fmt: skip
    parts = [artifact.load(published / name / "1") for name in ("table", "plain")]
    want = Composition(parts, [2.0, 1.0], mode="either", temperature=0.5).score(VALUES, fdr=0.3)
    np.testing.assert_allclose(answer["energy"], want.energy, rtol=1e-6)
    assert answer["is_anomaly"] == want.is_anomaly.tolist() and answer["fdr"] == 0.3
    assert answer["terms"][0] == {"model": "table", "version": "1", "weight": 2.0}


def test_the_same_model_twice_keeps_its_columns_apart(ebm, rows):
    answer = ebm("compose", "score", rows, "--term", "table", "--term", "table/1", "--json", ok=True).json
    assert "energy table/1 #1" in answer and "energy table/1 #2" in answer


def test_generate_is_the_librarys(ebm, tmp_path, published):
    output = tmp_path / "s.npy"
    terms = ("--term", "pictures", "--term", "pictures/1:0.5")
    answer = ebm(
        "compose", "generate", *terms, "-n", 3, "--seed", 4, "--keep-every", 3, "-o", output, "--json", ok=True
    ).json  # fmt: skip
    detector = artifact.load(published / "pictures" / "1")
    want = Composition([detector, detector], [1.0, 0.5]).generate(3, seed=4, keep_every=3)
    np.testing.assert_array_equal(np.load(output, allow_pickle=False), want.samples)
    np.testing.assert_array_equal(np.load(answer["snapshots"], allow_pickle=False), want.snapshots)
    result = ebm("compose", "generate", *terms, "-n", 2, "-o", tmp_path / "s.png", ok=True)
    assert "2 samples, seed 0" in result.err
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--term", "table", "--term", "pictures"), "pictures"),
        (("--term", "nobody:2"), "nobody"),
        (("--term", "table:0"), "weight must be finite and not 0"),
        (("--term", "table:-1", "--mode", "either"), "negative"),
        (("--term", "table", "--fpr", "2"), "--fpr must lie"),
        (("--term", "table", "--fpr", ".1", "--fdr", ".1"), "not both"),
    ],
)
def test_bad_use_is_one_line(ebm, rows, options, said):
    assert said in ebm("compose", "score", rows, *options).error()


def test_models_that_cannot_generate(ebm, tmp_path):
    said = ebm("compose", "generate", *BOTH, "-o", tmp_path / "s.csv").error()
    assert "model plain cannot generate" in said
    said = ebm("compose", "generate", "--term", "table", "-o", tmp_path / "s.png").error()
    assert "rows, not pictures" in said and not (tmp_path / "s.png").exists()
