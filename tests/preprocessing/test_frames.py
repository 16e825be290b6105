import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ebm.errors import BadInput
from ebm.preprocessing import as_table, is_frame

CELLS = {"a": [1, 2], "s": ["x", None], "b": [True, False], "t": [dt.datetime(2020, 1, 1)] * 2}
FRAMES = {
    "pandas": pd.DataFrame(CELLS),
    "polars": pl.DataFrame(CELLS),
    "arrow": pa.table(CELLS),
    "batch": pa.RecordBatch.from_pydict(CELLS),
    "columns": CELLS,
    "records": [dict(zip(CELLS, row, strict=True)) for row in zip(*CELLS.values(), strict=True)],
}


@pytest.mark.parametrize("make", FRAMES)
def test_every_make_gives_the_same_table(make):
    assert is_frame(FRAMES[make])
    assert as_table(FRAMES[make]).to_pydict() == CELLS


@pytest.mark.parametrize(
    "value",
    [np.zeros((2, 2)), [[1, 2]], [1], [], "text", None, 5, pd.Series([1]), pl.Series([1]), pa.array([1])],
    ids=lambda v: type(v).__name__,
)
def test_what_has_no_named_columns_is_no_frame(value):
    assert not is_frame(value)


def test_rows_without_names_are_numbered():
    rows = np.array([[1, "x"], [2.5, None]], dtype=object)
    table = as_table(rows)
    assert table.to_pydict() == {"x0": [1.0, 2.5], "x1": ["x", None]}
    assert as_table(rows.tolist()) == table
    assert as_table(rows, ["u", "v"]).column_names == ["u", "v"]


def test_a_pandas_index_is_no_column_and_its_gaps_do_not_matter():
    frame = pd.DataFrame({"a": [1, 2, 3]}, index=[7, 7, 9]).iloc[1:]
    assert as_table(frame).to_pydict() == {"a": [2, 3]}


def test_keys_that_are_no_text_become_text():
    assert as_table(pd.DataFrame(np.eye(2))).column_names == ["0", "1"]


def test_records_may_lack_keys():
    assert as_table([{"a": 1}, {"b": "x", "a": 2}]).to_pydict() == {"a": [1, 2], "b": [None, "x"]}


def test_numbers_of_several_types_are_numbers():
    table = as_table({"a": [1, 2.5, None], "big": [1, 2**70, None], "d": [Decimal("1.5"), 2, float("nan")]})
    assert table.to_pydict() == {"a": [1, 2.5, None], "big": [1, 2.0**70, None], "d": [1.5, 2, None]}


@pytest.mark.parametrize(
    "bad, message",
    [
        (pd.DataFrame(np.eye(2), columns=["a", "a"]), "two columns are named 'a'"),
        (pd.DataFrame({1: [0], "1": [0]}), "two columns are named '1'"),
        (pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), "two columns are named 'a'"),
        (pd.DataFrame({"m": [1, "x", 2.0]}), "row 1, column 'm' holds 'x' among cells of another kind"),
        ({"m": [None, 2j]}, "row 1, column 'm' is 2j, not a number, text"),
        ({"m": ["x", 1, "y"]}, "row 1, column 'm' holds 1 among"),
        ([{"m": None}, {"m": True}, {"m": 3}], "row 2, column 'm' holds 3 among"),
        ([[None, 1], ["x", 2], [5, 3]], "row 2, column 'x0' holds 5 among"),
        ({"a": [1], "b": [1, 2]}, "column 'b' has 2 rows, column 'a' has 1"),
        ({"a": 1}, "column 'a' is 1, not a list"),
        ({"a": "text"}, "column 'a' is 'text', not a list"),
        ({"a": np.zeros((2, 2))}, "column 'a' has 2 dimensions"),
        ({}, "no columns"),
        ([{"a": 1}, 5], "row 1: a record must be"),
        ([[1, 2], [3]], "row 1 has 1 values, row 0 has 2"),
        ([[1, [2]]], "row 0, column 1 is"),
        ([1, 2], "row 0 is 1, not a row"),
        ([[]], "no columns"),
        ([], "no rows"),
        ("text", "expected a table"),
        (None, "expected a table"),
    ],
)
def test_no_table(bad, message):
    with pytest.raises(BadInput, match=message) as caught:
        as_table(bad)
    assert "\n" not in str(caught.value)


def test_categories_of_polars_and_pandas_stay_categories():
    texts = pl.DataFrame({"c": pl.Series(["u", "v", None], dtype=pl.Categorical)})
    codes = pd.DataFrame({"c": pd.Categorical([1, 2, None])})
    for frame, expected in ((texts, ["u", "v", None]), (codes, [1, 2, None])):
        column = as_table(frame)["c"]
        assert pa.types.is_dictionary(column.type) and column.to_pylist() == expected
