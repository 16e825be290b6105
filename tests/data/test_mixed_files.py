import datetime as dt
import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ebm.data import FileData, ReadOptions, Table, concat_rows, load, read, take_rows
from ebm.errors import BadInput

CSV = """age,city,smoker,seen,day,blank,kind
34,Bonn,true,2024-01-01 10:00:00,2024-02-01,,ok
,none,false,2024-01-02 11:30:00,2024-02-02,,NA
51.5,,NA,,2024-02-03,,bad
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "rows.csv").write_text(CSV)
    return tmp_path / "rows.csv"


def test_types_by_their_cells(path):
    table = read(path, ReadOptions(label_column="kind"), "mixed")
    assert isinstance(table.values, pa.Table)
    assert table.values.to_pydict() == {
        "age": [34.0, None, 51.5],
        "city": ["Bonn", "none", None],
        "smoker": [True, False, None],
        "seen": [dt.datetime(2024, 1, 1, 10), dt.datetime(2024, 1, 2, 11, 30), None],
        "day": [dt.date(2024, 2, day) for day in (1, 2, 3)],
        "blank": [None] * 3,
    }
    assert table.columns == table.values.column_names
    # A label stands as written, even where a cell would be a null.
    assert table.labels is not None and table.labels.tolist() == ["ok", "NA", "bad"]
    assert len(table) == 3


def test_numbers_only_are_refused_as_before(path):
    with pytest.raises(BadInput, match="row 0, column 'city': 'Bonn' is not a number"):
        read(path, ReadOptions(label_column="kind"))


def test_complete_numbers_stay_an_array(tmp_path):
    (tmp_path / "n.csv").write_text("a,b,kind\n1,2.5,x\n3,4,y\n")
    table = read(tmp_path / "n.csv", ReadOptions(label_column="kind"), "mixed")
    assert isinstance(table.values, np.ndarray) and table.values.dtype == np.float32
    assert table.fingerprint() == read(tmp_path / "n.csv", ReadOptions(label_column="kind")).fingerprint()
    pq.write_table(pa.table({"a": [1, 2], "b": [1.0, float("nan")]}), tmp_path / "n.parquet")
    assert isinstance(read(tmp_path / "n.parquet", cells="mixed").values, pa.Table)
    np.save(tmp_path / "n.npy", [[1, np.nan], [2, 3]])
    assert np.isnan(np.asarray(read(tmp_path / "n.npy", cells="mixed").values)[0, 1])


def test_known_types_decide(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"code,n,flag,when\n01, 7 ,TRUE,2024-01-01\nNA,NA,0,\n"))
    types = {"code": "categorical", "n": "numeric", "flag": "boolean", "when": "datetime"}
    values = read(path, cells=types).values
    assert isinstance(values, pa.Table)
    assert values.to_pydict() == {
        "code": ["01", None], "n": [7.0, None], "flag": [True, False], "when": ["2024-01-01", None]
    }  # fmt: skip


def test_known_types_always_give_a_table(tmp_path):
    (tmp_path / "n.csv").write_text("a,b\n1,2\n3,4\n")
    values = read(tmp_path / "n.csv", cells={"a": "numeric", "b": "categorical"}).values
    assert isinstance(values, pa.Table) and values.to_pydict() == {"a": [1.0, 3.0], "b": ["2", "4"]}
    pq.write_table(pa.table({"a": [2**53 + 1]}), tmp_path / "n.parquet")
    assert read(tmp_path / "n.parquet", cells={"a": "numeric"}).values["a"].to_pylist() == [2**53 + 1]


@pytest.mark.parametrize(
    "kind, column, message",
    [
        ("numeric", "a", "rows.csv: row 2, column 'a' is 'x', not a number"),
        ("boolean", "b", "rows.csv: row 1, column 'b' is 'maybe', not true or false"),
    ],
)
def test_a_cell_of_another_type_is_named(tmp_path, kind, column, message):
    (tmp_path / "rows.csv").write_text("a,b\n1,true\n2,maybe\nx,false\n")
    with pytest.raises(BadInput, match=message) as caught:
        read(tmp_path / "rows.csv", ReadOptions(columns=(column,)), {column: kind})
    assert caught.value.column == column


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,b\n1,x\n2\n", "row 1 has 1 cells, the header has 2"),
        ("a,b\n", "no rows"),
        (b"a,b\n1,\xff\n", "not a readable CSV file"),
    ],
)
def test_bad_files(tmp_path, text, message):
    (tmp_path / "rows.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput, match=f"rows.csv: .*{message}"):
        read(tmp_path / "rows.csv", cells="mixed")


def test_parquet_keeps_its_types(tmp_path):
    columns = {"c": pa.array(["x", "y"]).dictionary_encode(), "t": pa.array([dt.time(3), None])}
    pq.write_table(pa.table({**columns, "kind": [0, 1]}), tmp_path / "t.parquet")
    table = read(tmp_path / "t.parquet", ReadOptions(label_column="kind"), "mixed")
    assert isinstance(table.values, pa.Table) and table.values.schema == pa.table(columns).schema
    assert table.labels is not None and table.labels.tolist() == [0, 1]


def test_configured_files(path):
    config = FileData(path="rows.csv", label_column="kind", normal=("ok",))
    table = load(config, path.parent, cells="mixed")
    assert isinstance(table.values, pa.Table) and table.values.num_rows == 3


def test_choosing_rows(path):
    table = read(path, ReadOptions(label_column="kind"), "mixed")
    for index in (np.array([True, False, True]), np.array([0, 2])):
        chosen = table.rows(index)
        assert isinstance(chosen.values, pa.Table) and chosen.values["age"].to_pylist() == [34.0, 51.5]
        assert chosen.labels is not None and chosen.labels.tolist() == ["ok", "bad"]
    twice = concat_rows([table.values, take_rows(table.values, np.array([1]))])
    assert isinstance(twice, pa.Table) and twice["city"].to_pylist() == ["Bonn", "none", None, "none"]
    np.testing.assert_array_equal(concat_rows([np.eye(2), np.ones((1, 2))]), [[1, 0], [0, 1], [1, 1]])


def test_fingerprint_follows_content_and_not_memory(path):
    whole = read(path, ReadOptions(label_column="kind"), "mixed")
    assert isinstance(whole.values, pa.Table)
    pieces = pa.concat_tables([whole.values.slice(0, 1), whole.values.slice(1)])
    same = Table(pieces, whole.columns, whole.labels, "elsewhere")
    assert same.fingerprint() == whole.fingerprint()
    nulls = [Table(pa.table({"a": cells}), ["a"], None, "") for cells in ([None, 1.0], [1.0, None])]
    assert nulls[0].fingerprint() != nulls[1].fingerprint()
    others = {whole.fingerprint()}
    for name, cells in {
        "age": [34.0, 0.0, 51.5],
        "city": ["Bon", "nnone", None],
        "smoker": [True, None, None],
        "seen": [dt.datetime(2024, 1, 1, 10)] * 3,
        "day": [dt.date(2024, 2, 1)] * 3,
        "blank": [None, None, 1],
    }.items():
        at = whole.values.column_names.index(name)
        changed = whole.values.set_column(at, name, pa.array(cells))
        others.add(Table(changed, whole.columns, whole.labels, "").fingerprint())
    assert len(others) == 7
