import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ebm.data import ReadOptions, parse_csv, read
from ebm.errors import BadInput


def parse(text, **options):
    data = text if isinstance(text, bytes) else text.encode()
    return parse_csv(data, "rows.csv", ReadOptions(**options))


@pytest.mark.parametrize(
    "text, columns, values",
    [
        ("a,b\n1,2\n3,4\n", ["a", "b"], [[1, 2], [3, 4]]),
        ("a,b\r\n1,2\r\n3,4", ["a", "b"], [[1, 2], [3, 4]]),
        ("\ufeffa,b\n1,2\n", ["a", "b"], [[1, 2]]),
        ("\ufeff1,2\n3,4\n", None, [[1, 2], [3, 4]]),
        ("1,2\n3,4\n", None, [[1, 2], [3, 4]]),
        ("0,1\n3,4\n", ["0", "1"], [[3, 4]]),
        ("id,2019,2020\n1,2,3\n", ["id", "2019", "2020"], [[1, 2, 3]]),
        ('"a,\nx",b\n1,2\n', ["a,\nx", "b"], [[1, 2]]),
        ("a,b\n 1, 2.5e-3\n-3,4\n", ["a", "b"], [[1, 0.0025], [-3, 4]]),
        ("a,b\n1,2\n1.5,4\n", ["a", "b"], [[1, 2], [1.5, 4]]),
    ],
)
def test_good_files(text, columns, values):
    table = parse(text)
    assert table.columns == columns
    np.testing.assert_allclose(table.values, values, rtol=1e-6)


@pytest.mark.parametrize(
    "text, row, column, message",
    [
        ("age,b\n1,2\n3,4\n5,6\nabc,7\n", 3, "age", "row 3, column 'age': 'abc' is not a number"),
        ("a,b\n1,2\n3,x\ny,4\n", 1, "b", "row 1, column 'b': 'x' is not a number"),
        ("1,2\n3,x\n", 1, 1, "row 1, column 1: 'x' is not a number"),
        ("a,b\n1,true\n", 0, "b", "'true' is not a number"),
        ("a,b\n1,1_000\n", 0, "b", "'1_000' is not a number"),
        ("a,b\n1,2\n3\n", 1, None, "row 1 has 1 cells, the header has 2"),
        ("1,2\n3,4,5\n", 1, None, "row 1 has 3 cells, the first row has 2"),
        ("a,b\n1,2\n3,\n", 1, "b", "row 1, column 'b' is missing"),
        ("a,b\n1,NA\n", 0, "b", "row 0, column 'b' is missing"),
        ("a,b\n1,nan\n", 0, "b", "row 0, column 'b' is missing"),
        ("a,b\n1,2\n3,-inf\n", 1, "b", "row 1, column 'b' is infinite"),
        ("a,b\n1,1e300\n", 0, "b", "row 0, column 'b' is too large"),
        ("a,a\n1,2\n", None, "a", "two columns are named 'a'"),
        (",a\n0,2\n", None, 0, "column 0 has no name"),
        ("", None, None, "empty"),
        ("\n\n", None, None, "empty"),
        ("a,b\n", None, None, "no rows"),
        ("a,b", None, None, "no rows"),
        (b"a,b\n1,\xff\n", None, None, "utf-8"),
        ("a,b\n1," + "z" * 500 + "\n", 0, "b", r"'z+\.\.\. is not"),
    ],
)
def test_bad_files_name_the_culprit(text, row, column, message):
    with pytest.raises(BadInput, match=f"^rows.csv: .*{message}") as caught:
        parse(text)
    assert (caught.value.row, caught.value.column) == (row, column)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_labels():
    text = "a,kind,b\n1,x,2\n3,y,4\n"
    table = parse(text, label_column="kind")
    assert table.columns == ["a", "b"]
    assert table.labels is not None and table.labels.tolist() == ["x", "y"]
    numbers = parse("a,kind\n1,0\n3,-7\n", label_column="kind").labels
    assert numbers is not None and numbers.dtype == np.int64 and numbers.tolist() == [0, -7]
    words = parse("a,defect\n1,none\n3,NA\n", label_column="defect").labels
    assert words is not None and words.tolist() == ["none", "NA"]
    with pytest.raises(BadInput, match="rows.csv: row 1: the label is missing"):
        parse("a,kind\n1,x\n3,\n", label_column="kind")
    with pytest.raises(BadInput, match="no column 'sort'"):
        parse(text, label_column="sort")


def test_choosing_columns():
    text = "a,name,b\n1,x,2\n3,y,4\n"
    np.testing.assert_array_equal(parse(text, ignore=["name"]).values, [[1, 2], [3, 4]])
    chosen = parse(text, columns=["b", "a"])
    assert chosen.columns == ["b", "a"]
    np.testing.assert_array_equal(chosen.values, [[2, 1], [4, 3]])
    with pytest.raises(BadInput, match=r"rows.csv: no column 'c' \(a, name, b\)"):
        parse(text, columns=["a", "c"])
    with pytest.raises(BadInput, match="no feature columns"):
        parse(text, ignore=["a", "name", "b"])


def test_header_on_request():
    assert parse("1,2\n3,4\n", header=True).columns == ["1", "2"]
    assert parse("0,1\n3,4\n", header=False).values.shape == (2, 2)
    by_number = parse("1,2,5\n3,4,6\n", label_column="2")
    assert by_number.labels is not None and by_number.labels.tolist() == [5, 6]


def test_missing_on_request():
    values = parse("a,b\n1,\nNA,4\n", allow_missing=True).values
    np.testing.assert_array_equal(np.isnan(values), [[False, True], [True, False]])


def test_rows_longer_than_an_arrow_block():
    # Arrow's default block is 1 MiB; Arrow refuses a row that is longer.
    line = ",".join(["1." + "0" * 98] * 15_000) + "\n"
    assert len(line) > 1 << 20
    assert parse(line * 3).values.shape == (3, 15_000)


def write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_number_types(tmp_path):
    path = write(
        tmp_path / "t.parquet",
        i=pa.array([1, 2], pa.int64()),
        u=pa.array([3, 2**60 + 1], pa.uint64()),
        b=[True, False],
        d=[Decimal("1.25"), Decimal("2.50")],
        h=pa.array(np.array([1, 2], np.float16)),
        c=pa.array([7, 8]).dictionary_encode(),
    )
    expected = [[1, 3, 1, 1.25, 1, 7], [2, 2.0**60, 0, 2.5, 2, 8]]
    np.testing.assert_array_equal(read(path).values, expected)


@pytest.mark.parametrize(
    "bad, message",
    [
        (pa.array([None, "x"]), "column 'bad' holds string, not numbers, e.g. row 1: 'x'"),
        (pa.array([datetime.datetime(2020, 1, 1)] * 2), "column 'bad' holds timestamp"),
        (pa.array([[1.0], [2.0]]), "column 'bad' holds list"),
        (pa.array([1.0, None]), "row 1, column 'bad' is missing"),
        (pa.array([None, None]), "row 0, column 'bad' is missing"),
        (pa.array([1.0, float("inf")]), "row 1, column 'bad' is infinite"),
        (pa.array(["x", "y"]).dictionary_encode(), "column 'bad' holds string"),
    ],
)
def test_parquet_bad_columns(tmp_path, bad, message):
    path = write(tmp_path / "t.parquet", good=[1.0, 2.0], bad=bad)
    with pytest.raises(BadInput, match=f"^t.parquet: {message}") as caught:
        read(path)
    assert caught.value.column == "bad"
    np.testing.assert_array_equal(read(path, ReadOptions(ignore=("bad",))).values, [[1], [2]])


def test_parquet_labels_and_pandas_index(tmp_path):
    path = write(tmp_path / "t.parquet", a=[1.0, 2.0], y=["u", "v"], __index_level_0__=[5, 6])
    table = read(path, ReadOptions(label_column="y"))
    assert table.columns == ["a"]
    assert table.labels is not None and table.labels.tolist() == ["u", "v"]


def test_parquet_without_rows(tmp_path):
    with pytest.raises(BadInput, match="t.parquet: no rows"):
        read(write(tmp_path / "t.parquet", a=pa.array([], pa.float64())))
