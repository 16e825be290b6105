from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ebm import artifact
from ebm.fitting import fit_detector
from ebm.preprocessing.mixed import MixedConfig
from ebm.training.config import TrainConfig

HOLES = 'id,d,remark,"b, c",a\n1,0.10,"x, ""y""",,0.3\n2,,plain,NA,9\n3,-0.5,,0,1\n'
VALUES = np.array([[0.3, np.nan, 0.1], [9, np.nan, np.nan], [1, 0, -0.5]], np.float32)


@pytest.fixture
def holes(tmp_path: Path) -> Path:
    (tmp_path / "holes.csv").write_text(HOLES)
    return tmp_path / "holes.csv"


@pytest.fixture
def plain(published: Path):
    return artifact.load(published / "plain" / "1")


def test_impute_a_csv(ebm, holes, tmp_path, plain):
    out = tmp_path / "filled.csv"
    result = ebm("impute", "plain", holes, "-o", out, "--draws", 8, "--seed", 3, ok=True)
    assert "3 nulls in 2 of 3 rows filled" in result.err and result.out == ""
    lines, source = (
        list(csv.DictReader(out.read_text().splitlines())),
        list(csv.DictReader(holes.read_text().splitlines())),
    )
    assert list(lines[0]) == list(source[0])
    expected = plain.impute(VALUES, n_draws=8, seed=3).rows
    for i, line in enumerate(lines):
        for name, cell in line.items():
            if source[i][name] not in ("", "NA") or name == "remark":
                assert cell == source[i][name]
            else:
                assert float(cell) == pytest.approx(expected[i, ["a", "b, c", "d"].index(name)], rel=1e-6)


def test_the_same_seed_gives_the_same_file(ebm, holes, tmp_path):
    def filled(*args: object) -> str:
        ebm("impute", "table", holes, "-o", tmp_path / "f.csv", "--draws", 4, *args, ok=True)
        return (tmp_path / "f.csv").read_text()

    assert filled("--seed", 1) == filled("--seed", 1) != filled("--seed", 2)


def test_spread_and_json(ebm, holes, tmp_path, plain):
    out = tmp_path / "filled.parquet"
    answer = ebm("impute", "plain", holes, "-o", out, "--spread", "--json", ok=True).json
    assert answer["rows"] == 3 and answer["rows_with_nulls"] == 2 and answer["nulls"] == 3
    assert answer["n_draws"] == 32 and answer["seed"] == 0 and answer["acceptance"] == 1
    table = pq.read_table(out)
    assert table.column_names[-3:] == ["a_spread", "b, c_spread", "d_spread"]
    expected = plain.impute(VALUES).spread
    assert table["a_spread"].null_count == 3 and table["d_spread"].null_count == 2
    assert table["d_spread"][1].as_py() == pytest.approx(expected[1, 2])
    alone = ebm("impute", "plain", holes, "-o", out, "--spread", "--draws", 1, ok=True)
    assert alone.err and pq.read_table(out)["d_spread"].null_count == 3


def test_impute_an_array(ebm, tmp_path, plain):
    np.save(tmp_path / "holes.npy", VALUES)
    ebm("impute", "plain", tmp_path / "holes.npy", "-o", tmp_path / "filled.npy", ok=True)
    found = np.load(tmp_path / "filled.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, plain.impute(VALUES).rows.astype(np.float32))
    ebm("impute", "plain", tmp_path / "holes.npy", "-o", tmp_path / "filled.csv", ok=True)
    assert (tmp_path / "filled.csv").read_text().startswith('a,"b, c",d\n0.3,')


def test_bad_use(ebm, holes, tmp_path):
    out = tmp_path / "filled.csv"
    assert "must end in" in ebm("impute", "plain", holes, "-o", tmp_path / "x.json").error()
    assert "must end in .csv or .parquet" in ebm("impute", "plain", holes, "-o", "x.npy", "--spread").error()
    assert "n_draws" in ebm("impute", "plain", holes, "-o", out, "--draws", 10**6).error()
    assert ebm("impute", "plain", holes, "-o", out, "--draws", 0).code == 2
    assert ebm("impute", "plain", holes).code == 2
    (tmp_path / "bad.csv").write_text('a,"b, c",d\n1,2,3\n1,much,3\n')
    assert "row 1, column 'b, c'" in ebm("impute", "plain", tmp_path / "bad.csv", "-o", out).error()
    assert not out.exists()


# -- a model of columns of several types ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with `shop`: kind decides price and whether it is heavy."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["nail", "door"], 200)
    price = np.where(kind == "nail", 20.0, 90.0) + rng.normal(0, 5, 200)
    table = pa.table({"kind": kind, "price": price, "heavy": kind == "door"})
    values = {"data": {"kind": "builtin", "name": "digits"}, "preprocessing": {"kind": "standardize"}}
    terms = [{"name": "kernel", "energy": {"kind": "kernel"}}]
    config = TrainConfig.model_validate({"name": "shop", "terms": terms, **values})
    config = config.model_copy(update={"preprocessing": MixedConfig()})
    folder = tmp_path_factory.mktemp("shop")
    artifact.publish(fit_detector(config, table.slice(0, 150), table.slice(150)), folder, card="")  # type: ignore[arg-type]
    return folder


def test_text_flags_and_numbers_of_one_csv(ebm, shop, tmp_path):
    source = tmp_path / "shop.csv"
    source.write_text("heavy,note,kind,price\ntrue,x,,90\nfalse,,nail,\n,,door,90\n")
    out = tmp_path / "out.csv"
    ebm("impute", "shop", source, "-o", out, "--models", shop, ok=True)
    lines = list(csv.DictReader(out.read_text().splitlines()))
    assert [line["kind"] for line in lines] == ["door", "nail", "door"]
    assert [line["heavy"] for line in lines] == ["true", "false", "true"]
    assert lines[0]["note"] == "x" and float(lines[1]["price"]) == pytest.approx(20, abs=9)
    assert lines[0]["price"] == "90"
    pq.write_table(pa.table({"kind": ["nail"], "price": [None], "heavy": [False]}), tmp_path / "one.parquet")
    ebm(
        "impute",
        "shop",
        tmp_path / "one.parquet",
        "-o",
        tmp_path / "one.out.parquet",
        "--models",
        shop,
        ok=True,
    )
    assert pq.read_table(tmp_path / "one.out.parquet")["price"][0].as_py() == pytest.approx(20, abs=9)


def test_explain_text_flags_and_numbers(ebm, shop, tmp_path):
    source = tmp_path / "shop.csv"
    source.write_text("heavy,kind,price\ntrue,door,90\ntrue,door,20\nfalse,window,20\n")
    document = ebm("explain", "shop", source, "--models", shop, "--json", ok=True).json
    price, kind = document["rows"][1]["columns"][0], document["rows"][2]["columns"][0]
    assert price["column"] == "price" and price["value"] == 20 and price["normal_value"] > 50
    assert kind["column"] == "kind" and (kind["value"], kind["normal_value"]) == ("window", "nail")
    out = tmp_path / "why.parquet"
    ebm("explain", "shop", source, "--models", shop, "-o", out, ok=True)
    assert pq.read_table(out)["normal_value_1"].type == pa.string()
    source.write_text("heavy,kind,price\ntrue,door,90\nmaybe,door,1\n")
    assert "row 1, column 'heavy'" in ebm("explain", "shop", source, "--models", shop).error()
    source.write_text("heavy,kind,price\ntrue,door,cheap\n")
    assert (
        "row 0, column 'price' is 'cheap', not a number"
        in ebm("explain", "shop", source, "--models", shop).error()
    )
