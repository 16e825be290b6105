from __future__ import annotations

import csv
import io
import json
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ebm import artifact
from ebm.calibration import benjamini_hochberg

VALUES = np.array([[0.3, 0.2, 0.1], [9, 9, 9], [1, 0, -0.5]], dtype=np.float32)
ADDED = ["energy", "anomaly_score", "p_value", "is_anomaly"]


@pytest.fixture
def detector(published: Path):
    return artifact.load(published / "table" / "1")


def columns_of(text: str) -> dict[str, list[str]]:
    header, *lines = csv.reader(io.StringIO(text))
    return {name: [line[i] for line in lines] for i, name in enumerate(header)}


def test_csv_to_stdout_keeps_the_own_columns_as_they_were(ebm, rows, detector):
    result = ebm("score", "table", rows, ok=True)
    assert result.err == ""
    table = columns_of(result.out)
    assert list(table) == ["id", "d", "remark", "b, c", "a", *ADDED]
    assert table["d"] == ["0.10", "9", "-0.5"]
    assert table["remark"] == ['x, "y"', "plain", ""]
    expected = detector.score(VALUES)
    np.testing.assert_allclose([float(e) for e in table["energy"]], expected.energy, rtol=1e-6)
    np.testing.assert_allclose([float(p) for p in table["p_value"]], expected.p_value, rtol=1e-12)
    assert table["is_anomaly"] == ["true" if a else "false" for a in expected.is_anomaly]
    assert table["is_anomaly"][1] == "true"


def test_parquet_there_and_back(ebm, tmp_path, detector):
    names = ["b, c", "when", "a", "d"]
    pq.write_table(
        pa.table([VALUES[:, 1], ["x", None, "z"], VALUES[:, 0], VALUES[:, 2]], names=names),
        tmp_path / "r.parquet",
    )
    result = ebm("score", "table", tmp_path / "r.parquet", "-o", tmp_path / "s.parquet", ok=True)
    assert result.out == "" and "3 rows, 1 anomalies at fpr 0.05" in result.err
    table = pq.read_table(tmp_path / "s.parquet")
    assert table.column_names == [*names, *ADDED]
    assert table["when"].to_pylist() == ["x", None, "z"]
    np.testing.assert_array_equal(table["energy"].to_numpy(), detector.score(VALUES).energy)
    assert table["is_anomaly"].type == pa.bool_()


def test_arrays_and_files_without_a_header(ebm, tmp_path, detector):
    np.save(tmp_path / "r.npy", VALUES)
    np.savetxt(tmp_path / "r.csv", VALUES, delimiter=",")
    expected = detector.score(VALUES).energy.tolist()
    for name in ("r.npy", "r.csv"):
        answer = ebm("score", "table", tmp_path / name, "--json", ok=True).json
        np.testing.assert_allclose(answer["energy"], expected, rtol=1e-6)
    table = columns_of(ebm("score", "table", tmp_path / "r.npy", ok=True).out)
    assert list(table) == ["a", "b, c", "d", *ADDED]


def test_json_says_what_the_service_says(ebm, rows):
    answer = ebm("score", "table/1", rows, "--json", ok=True).json
    assert answer["model"] == "table" and answer["version"] == "1"
    assert answer["higher_is_more_anomalous"] is True and answer["fpr"] == 0.05
    assert [len(answer[name]) for name in ADDED] == [3, 3, 3, 3]


def test_rates(ebm, rows, tmp_path):
    p = ebm("score", "table", rows, "--json", "--fpr", 0.5, ok=True).json
    assert p["is_anomaly"] == [v <= 0.5 for v in p["p_value"]]
    q = ebm("score", "table", rows, "--json", "--fdr", 0.3, ok=True).json
    assert q["is_anomaly"] == benjamini_hochberg(q["p_value"], 0.3).tolist() and q["fpr"] is None
    result = ebm("score", "table", rows, "-o", tmp_path / "s.csv", "--fpr", 0.001, ok=True)
    assert "no row can be flagged" in result.err


def test_false_discovery_rate_is_over_the_whole_file_and_not_by_chunk(ebm, tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    values[:12] += 9
    np.save(tmp_path / "r.npy", values)
    whole = ebm("score", "table", tmp_path / "r.npy", "--json", "--fdr", 0.15, ok=True).json
    chunks = ebm(
        "score", "table", tmp_path / "r.npy", "--json", "--fdr", 0.15, "--chunk-rows", 7, ok=True
    ).json
    assert chunks == whole
    text = ebm("score", "table", tmp_path / "r.npy", "--fdr", 0.15, "--chunk-rows", 7, ok=True).out
    assert columns_of(text)["is_anomaly"] == ["true" if a else "false" for a in whole["is_anomaly"]]
    p = np.array(whole["p_value"])
    assert whole["is_anomaly"] == benjamini_hochberg(p, 0.15).tolist() != (p <= 0.15).tolist()


def test_scoring_twice_replaces_the_columns(ebm, rows, tmp_path):
    once, twice = tmp_path / "once.csv", tmp_path / "twice.csv"
    ebm("score", "table", rows, "-o", once, ok=True)
    ebm("score", "table", once, "-o", twice, ok=True)
    assert twice.read_text() == once.read_text()


def test_pictures(ebm, published, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8), dtype=np.uint8)
    for name, picture in zip(("b.png", "a.png"), pixels, strict=True):
        Image.fromarray(picture).save(folder / name)
    table = columns_of(ebm("score", "pictures", folder, ok=True).out)
    assert table["file"] == ["a.png", "b.png"]
    expected = artifact.load(published / "pictures" / "1").score(pixels[::-1] * (16 / 255)).energy
    np.testing.assert_allclose([float(e) for e in table["energy"]], expected, rtol=1e-4)


def test_overflow_is_reported_and_not_dropped(ebm, tmp_path):
    np.save(tmp_path / "r.npy", np.array([[0, 0, 0], [1e30, 0, 0]], dtype=np.float32))
    answer = ebm("score", "table", tmp_path / "r.npy", "--json", ok=True).json
    assert answer["energy"][1] is None and answer["non_finite_rows"] == [1]
    assert answer["is_anomaly"][1] is True
    table = columns_of(ebm("score", "table", tmp_path / "r.npy", ok=True).out)
    assert table["energy"][1] == "inf"


BAD_FILES = {
    "text.csv": (b'a,"b, c",d\n1,2,3\n1,abc,3\n', "text.csv: row 1, column 'b, c': 'abc' is not a number"),
    "nan.csv": (b'a,"b, c",d\n1,2,NaN\n', "row 0, column 'd' is missing"),
    "infinite.csv": (b'a,"b, c",d\n1,2,inf\n', "row 0, column 'd' is infinite"),
    "missing.csv": (b"id,a,d\n1,2,3\n", "missing.csv: column 'b, c' is missing"),
    "ragged.csv": (b'a,"b, c",d\n1,2,3\n1,2\n', "ragged.csv"),
    "narrow.csv": (b"1,2\n3,4\n", "narrow.csv: row 0 has 2 columns, the model takes 3"),
    "empty.csv": (b"", "empty.csv"),
    "header.csv": (b'a,"b, c",d\n', "header.csv: no rows"),
    "bytes.csv": (b"\xff\xfe\x00", "bytes.csv"),
    "broken.parquet": (b"PAR1nonsense", "broken.parquet: not a readable Parquet file"),
    "broken.npy": (b"\x93NUMPY\x01\x00", "broken.npy"),
    "rows.txt": (b"1,2,3\n", "unknown kind of file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_name_the_culprit_and_write_nothing(ebm, tmp_path, name):
    content, message = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    for more in (["-o", tmp_path / "out.csv", "--on-error", "fail"], ["--json"], []):
        assert message in ebm("score", "table", tmp_path / name, *more).error()
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_rows_that_cannot_be_scored_are_listed_and_the_others_scored(ebm, tmp_path, detector):
    (tmp_path / "r.csv").write_text('a,"b, c",d\n0.3,0.2,0.1\n1,abc,3\n9,9,9\n1,2\n,0,0\n')
    result = ebm("score", "table", tmp_path / "r.csv", "-o", tmp_path / "s.csv", ok=True)
    assert (
        "5 rows, 1 anomalies" in result.err
        and f"3 rows could not be scored: {tmp_path}/s.csv.rejects.csv" in result.err
    )
    table = columns_of((tmp_path / "s.csv").read_text())
    assert table["b, c"] == ["0.2", "abc", "9", "", "0"]
    assert table["is_anomaly"] == ["false", "", "true", "", ""] and table["energy"][1] == ""
    expected = detector.score(VALUES[:2]).energy
    np.testing.assert_allclose([float(table["energy"][i]) for i in (0, 2)], expected, rtol=1e-6)
    lines = (tmp_path / "s.csv.rejects.csv").read_text().splitlines()
    assert lines == [
        "row,column,reason",
        "1,\"b, c\",\"column 'b, c': 'abc' is not a number\"",
        '3,,"row 3 has 2 cells, the header has 3"',
        "4,a,column 'a' is missing (NaN)",
    ]
    found = json.loads((tmp_path / "s.csv.summary.json").read_text())
    assert found["rows"] == 5 and found["rejected"] == 3 and found["anomalies"] == 1
    # Without a file they go nowhere, so the default is to stop; asked to go on, it says how many.
    assert "row 1, column 'b, c'" in ebm("score", "table", tmp_path / "r.csv").error()
    streamed = ebm("score", "table", tmp_path / "r.csv", "--on-error", "reject", ok=True)
    assert columns_of(streamed.out) == table and "3 rows could not be scored" in streamed.err
    answer = ebm("score", "table", tmp_path / "r.csv", "--on-error", "reject", "--json", ok=True).json
    assert [one["row"] for one in answer["rejects"]] == [1, 3, 4] and answer["energy"][3] is None


def test_json_with_an_output_is_the_summary(ebm, rows, tmp_path):
    out = tmp_path / "folder"
    answer = ebm(
        "score", "table", rows, "-o", out, "--format", "csv", "--chunk-rows", 2, "--json", ok=True
    ).json
    assert answer["rows"] == 3 and answer["anomalies"] == 1 and answer["output"] == str(out)
    assert answer["parts"] == 2 and answer["drift"]["state"] == "unknown" and len(answer["worst"]) == 3
    assert sorted(p.name for p in out.iterdir()) == ["_summary.json", "part-000000.csv", "part-000001.csv"]
    again = ebm("score", "table", rows, "-o", out, "--format", "csv", "--chunk-rows", 2, ok=True)
    assert "an earlier run has done all 3 rows" in again.err
    assert "say overwrite" in ebm("score", "table", rows, "-o", out).error()
    ebm("score", "table", rows, "-o", out, "--overwrite", ok=True)
    assert sorted(p.name for p in out.iterdir()) == ["_summary.json", "part-000000.parquet"]
    ebm("score", "table", rows, "-o", tmp_path / "s.npy", "--no-summary", "--threads", 1, ok=True)
    assert not list(tmp_path.glob("s.npy.*"))


def test_interrupted_it_says_what_is_kept_and_goes_on(ebm, published, rows, tmp_path, monkeypatch):
    from ebm.batch import run as running

    record = running.BatchRun._write
    monkeypatch.setattr(running.BatchRun, "_write", lambda self, index, *rest: terminate(self, index, *rest))

    def terminate(self, index, *rest):
        done = record(self, index, *rest)
        if index == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return done

    result = ebm("score", "table", rows, "-o", tmp_path / "s.csv", "--chunk-rows", 1)
    assert result.code == 130 and "the same command goes on from there" in result.err
    assert not (tmp_path / "s.csv").exists()
    monkeypatch.undo()
    monkeypatch.setenv("EBM_MODELS", str(published))
    result = ebm("score", "table", rows, "-o", tmp_path / "s.csv", "--chunk-rows", 1, ok=True)
    assert "going on at row" in result.err
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 4


def test_a_header_that_claims_ten_gigabytes(ebm, tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (900000000, 3), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    (tmp_path / "big.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert "big.npy" in ebm("score", "table", tmp_path / "big.npy").error()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--fpr", "0"), "--fpr must lie between 0 and 1"),
        (("--fdr", "1.5"), "--fdr must lie between 0 and 1"),
        (("--fpr", "0.1", "--fdr", "0.1"), "not both"),
        (("-o", "nowhere/out.csv"), "nowhere does not exist"),
        (("-o", "out.xlsx"), "must end in .csv or .parquet"),
        (("-o", "ftp://host/out.csv"), "ftp:// is not a kind of URL"),
        (("-o", "https://host/out.csv"), "only read"),
        (("--engine", "ray"), "--engine ray needs --output"),
    ],
)
def test_bad_use(ebm, rows, args, message):
    assert message in ebm("score", "table", rows, *args).error()


def test_unknown_models_and_files(ebm, rows, tmp_path):
    assert "no model 'other'" in ebm("score", "other", rows).error()
    assert "no version '7'" in ebm("score", "table/7", rows).error()
    assert "no such file" in ebm("score", "table", tmp_path / "none.csv").error()
    (tmp_path / "empty").mkdir()
    assert "without files" in ebm("score", "table", tmp_path / "empty").error()
    Image.new("L", (8, 8)).save(tmp_path / "empty" / "a.png")
    assert "not pictures" in ebm("score", "table", tmp_path / "empty").error()


def test_an_output_that_cannot_be_completed_leaves_the_old_one(ebm, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("old")
    pq.write_table(
        pa.table({"a": [1.0], "b, c": [1.0], "d": [1.0], "deep": [[{"x": 1}]]}), tmp_path / "deep.parquet"
    )
    assert "column 'deep'" in ebm("score", "table", tmp_path / "deep.parquet", "-o", out).error()
    assert out.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep.parquet", "out.csv"]
