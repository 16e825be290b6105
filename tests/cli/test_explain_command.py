from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ebm import artifact
from ebm.detector import Detector


@pytest.fixture
def table(published: Path) -> Detector:
    return artifact.load(published / "table" / "1")


VALUES = np.array([[0.3, 0.2, 0.1], [9, 9, 9], [1, 0, -0.5]], np.float32)  # of `rows`, in the model's order


def test_explain_a_csv(ebm, rows, tmp_path, table):
    result = ebm("explain", "table", rows, "-o", tmp_path / "why.csv", "--top", 2, ok=True)
    assert "why.csv: 3 rows" in result.err and result.out == ""
    lines = list(csv.DictReader((tmp_path / "why.csv").read_text().splitlines()))
    source = list(csv.DictReader(rows.read_text().splitlines()))
    assert [{k: line[k] for k in source[0]} for line in lines] == source
    found = table.explain(VALUES)
    assert list(lines[0])[5:] == [
        "energy",
        "normal_energy",
        "p_value",
        *(f"{name}_{k}" for k in (1, 2) for name in ("column", "contribution", "normal_value")),
    ]
    for i, line in enumerate(lines):
        assert float(line["energy"]) == pytest.approx(found.energy[i], rel=1e-5)
        assert float(line["p_value"]) == pytest.approx(found.p_value[i])
        for k in (0, 1):
            j = found.ranking[i, k]
            if found.contributions[i, j] == 0:
                assert (
                    line[f"column_{k + 1}"]
                    == line[f"contribution_{k + 1}"]
                    == line[f"normal_value_{k + 1}"]
                    == ""
                )
                continue
            assert line[f"column_{k + 1}"] == ["a", "b, c", "d"][j]
            assert float(line[f"contribution_{k + 1}"]) == pytest.approx(found.contributions[i, j], rel=1e-4)
            assert float(line[f"normal_value_{k + 1}"]) == pytest.approx(found.normal_version[i, j], rel=1e-4)
    assert lines[1]["column_1"] and float(lines[1]["normal_value_1"]) < 5


def test_json_lists_the_columns_row_by_row(ebm, rows, tmp_path, table):
    found = table.explain(VALUES)
    document = ebm("explain", "table", rows, "--json", ok=True).json
    assert document["model"] == "table" and document["level"] == pytest.approx(found.level)
    odd = document["rows"][1]
    assert odd["row"] == 1 and odd["energy"] == pytest.approx(found.energy[1], rel=1e-5)
    assert sum(c["contribution"] for c in odd["columns"]) == pytest.approx(
        odd["energy"] - odd["normal_energy"], rel=1e-4
    )
    assert [c["value"] for c in odd["columns"]] == [9.0] * len(odd["columns"])
    answer = ebm("explain", "table", rows, "-o", tmp_path / "why.json", "--json", ok=True).json
    assert answer == {"model": "table", "version": "1", "rows": 3, "output": str(tmp_path / "why.json")}
    assert json.loads((tmp_path / "why.json").read_text()) == document


def test_dense_changes_every_column(ebm, tmp_path):
    (tmp_path / "odd.csv").write_text('a,"b, c",d\n0.1,6,-0.1\n')
    few, every = (
        ebm("explain", "plain", tmp_path / "odd.csv", "--json", *args, ok=True).json["rows"][0]["columns"]
        for args in ((), ("--dense",))
    )
    assert [c["column"] for c in few] == ["b, c"] and few[0]["value"] == 6 and few[0]["normal_value"] < 4
    assert len(every) == 3


def test_explain_an_array_to_parquet(ebm, tmp_path, table):
    np.save(tmp_path / "rows.npy", VALUES)
    ebm("explain", "table", tmp_path / "rows.npy", "-o", tmp_path / "why.parquet", "--top", 9, ok=True)
    found = pq.read_table(tmp_path / "why.parquet")
    assert (
        found.column_names[:4] == ["a", "b, c", "d", "energy"] and found.column_names[-1] == "normal_value_3"
    )
    np.testing.assert_allclose(found["energy"].to_numpy(), table.energies(VALUES), rtol=1e-6)
    assert found.schema.field("normal_value_1").type == pa.float64()


def test_a_plot(ebm, rows, tmp_path):
    ebm("explain", "table", rows, "-o", tmp_path / "why.csv", "--plot", tmp_path / "why.png", ok=True)
    with Image.open(tmp_path / "why.png") as picture:
        assert picture.width > 400
    ebm(
        "explain",
        "table",
        rows,
        "-o",
        tmp_path / "why.csv",
        "--plot",
        tmp_path / "w.svg",
        "--row",
        1,
        ok=True,
    )
    assert (tmp_path / "w.svg").read_text().startswith("<?xml")


def test_bad_use(ebm, rows, tmp_path):
    out = tmp_path / "why.csv"
    assert "must end in .csv or .parquet or .json" in ebm("explain", "table", rows, "-o", "why.txt").error()
    assert "must end in .png" in ebm("explain", "table", rows, "--plot", "why.txt").error()
    assert "give --plot" in ebm("explain", "table", rows, "--row", 1).error()
    plot = ("--plot", tmp_path / "why.png", "--row", 3)
    assert "--row 3: rows.csv has 3 rows" in ebm("explain", "table", rows, "-o", out, *plot).error()
    (tmp_path / "gap.csv").write_text('a,"b, c",d\n1,2,3\n1,,3\n')
    assert (
        "row 1, column 'b, c' is missing" in ebm("explain", "table", tmp_path / "gap.csv", "-o", out).error()
    )
    assert ebm("explain", "table", rows, "--top", 0).code == 2
    assert not out.exists() and not (tmp_path / "why.png").exists()
