"""Rows of every make, matched to a fitted table; cells and frames that are refused."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from people import frame, row, usual

from ebm.errors import BadInput
from ebm.preprocessing import Mixed, Standardize


@pytest.fixture(scope="module")
def fitted() -> Mixed:
    return Mixed().fit(frame())


def test_frames_are_matched_by_name_whatever_their_make(fitted):
    table = frame()
    z = fitted.transform(table)
    shuffled = table[list(table)[::-1]]
    np.testing.assert_array_equal(fitted.transform(shuffled), z)
    np.testing.assert_array_equal(fitted.transform(pl.from_pandas(shuffled)), z)
    np.testing.assert_array_equal(fitted.transform(pa.Table.from_pandas(shuffled)), z)
    rows = table.astype(object).where(table.notna(), None).to_numpy(dtype=object)
    np.testing.assert_array_equal(fitted.transform(rows), z)
    np.testing.assert_array_equal(fitted.transform(rows.tolist()), z)


def test_a_batch_changes_nothing(fitted):
    table = frame().head(20)
    whole = fitted.transform(table)
    alone = np.concatenate([fitted.transform(table.iloc[i : i + 1]) for i in range(20)])
    np.testing.assert_array_equal(whole, alone)


def test_a_model_of_an_array_takes_frames_by_position():
    x = np.random.default_rng(0).normal(size=(20, 2))
    fitted = Mixed().fit(x)
    np.testing.assert_array_equal(fitted.transform(pd.DataFrame(x, columns=["p", "q"])), fitted.transform(x))
    with pytest.raises(BadInput, match="row 0 has 3 values, the model takes 2 columns"):
        fitted.transform(pd.DataFrame(np.eye(3)))


def test_a_model_of_a_numeric_frame_takes_arrays_by_position_and_frames_by_name():
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), columns=["p", "q"])
    fitted = Mixed().fit(table)
    z = fitted.transform(table)
    np.testing.assert_array_equal(fitted.transform(table[["q", "p"]]), z)
    np.testing.assert_array_equal(fitted.transform(table.to_numpy()), z)
    assert isinstance(fitted.inverse(z), pa.Table)


def test_without_nulls_and_copies_numbers_are_plain_z_scores():
    x = np.random.default_rng(0).normal([0, 1e3], [1, 1e5], (50, 2)).astype(np.float32)
    np.testing.assert_array_equal(Mixed().fit(x).transform(x), Standardize().fit(x).transform(x))


def test_nulls_of_arrays():
    x = np.random.default_rng(0).normal(size=(50, 3))
    x[::5, 1] = np.nan
    fitted = Mixed().fit(x, ["a", "b", "c"])
    z = fitted.transform(x)
    assert fitted.shape == (4,) and fitted.owners.tolist() == [0, 1, 1, 2]
    assert (z[::5, 1] == 0).all()
    np.testing.assert_allclose(fitted.inverse(z), x, atol=1e-6)
    lists = [[None if v != v else v for v in cells] for cells in x.tolist()]
    np.testing.assert_array_equal(fitted.transform(lists), z)
    np.testing.assert_array_equal(Mixed().fit(lists, ["a", "b", "c"]).transform(lists), z)
    same = Mixed().fit(pd.DataFrame(x, columns=["a", "b", "c"]))
    np.testing.assert_array_equal(same.transform(pd.DataFrame(x, columns=["a", "b", "c"])), z)
    with pytest.raises(BadInput, match=r"row 1, column 'c' is missing \(no training row") as caught:
        fitted.transform([[1.0, None, 2.0], [1.0, 2.0, None]])
    assert (caught.value.row, caught.value.column) == (1, "c")


def test_numbers_are_encoded_alike_alone_and_beside_other_columns():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(60) < 0.2, np.nan, rng.normal(5, 2, 60))
    numbers = pd.DataFrame({"x": x, "copy": 1 - 2 * x, "y": rng.normal(size=60)})
    alone = Mixed().fit(numbers)
    beside = Mixed().fit(numbers.assign(text=rng.choice(["u", "v"], 60)))
    assert alone.shape == (5,) and alone.schema()["columns"] == beside.schema()["columns"][:3]
    z = beside.transform(numbers.assign(text="u"))[:, :5]
    np.testing.assert_array_equal(alone.transform(numbers), z)
    back = alone.inverse(z).to_pandas()
    np.testing.assert_allclose(back, numbers, atol=1e-5)
    np.testing.assert_allclose(Mixed().fit(numbers.to_numpy()).inverse(z), numbers, atol=1e-5)


def test_missing_and_allow_missing(fitted):
    table = frame().head(30)
    np.testing.assert_array_equal(fitted.missing(table), table.isna().to_numpy())
    gaps = row(age=None, street=None, seen=None, unit=None)
    with pytest.raises(BadInput, match="row 0, column 'age' is missing"):
        fitted.transform(gaps)
    z = fitted.transform(gaps, allow_missing=True)
    for name in ("age", "street", "seen", "unit"):
        assert (z[:, fitted.coordinates_of(name)] == 0).all(), name
    array = Mixed().fit(np.random.default_rng(0).normal(size=(9, 2)))
    np.testing.assert_array_equal(array.transform([[np.nan, 1e-3]], allow_missing=True)[0, 0], 0)
    np.testing.assert_array_equal(array.missing([[None, 1.0]]), [[True, False]])


def test_rows_are_checked_and_ready(fitted):
    records = row() + row(weight=None, city="Atlantis", smoker=None)
    ready = fitted.rows(records)
    np.testing.assert_array_equal(fitted.transform(ready), fitted.transform(records))
    # So that rows of several requests make one batch.
    assert ready.schema == fitted.rows(row(city=None)).schema
    numbers = Mixed().fit(np.random.default_rng(0).normal(size=(9, 2))).rows([[1, 2]])
    assert numbers.dtype == np.float64


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"age": "old"}, "row 0, column 'age' is 'old', not a number"),
        ({"age": "50"}, "column 'age' is '50', not a number"),
        ({"age": None}, "column 'age' is missing"),
        ({"age": float("inf")}, "column 'age' is infinite"),
        ({"age": 1e300}, "column 'age' is too large"),
        ({"age": 10**400}, "column 'age' is an integer too large"),
        ({"age": [1]}, r"column 'age' is \[1\], not a number"),
        ({"smoker": "yes"}, "column 'smoker' is 'yes', not true or false"),
        ({"smoker": 2}, "column 'smoker' is 2, not true or false"),
        ({"city": {}}, "column 'city' is {}, not text"),
        ({"city": "\ud800"}, "column 'city' is not valid Unicode"),
        ({"street": None}, "column 'street' is missing"),
        ({"seen": "yesterday"}, "column 'seen' is 'yesterday', not an ISO 8601"),
        ({"seen": 5}, "column 'seen' is 5, not an ISO 8601"),
        ({"born": "2024-13-01"}, "column 'born' is '2024-13-01', not"),
        ({"at": "25:00"}, "column 'at' is '25:00', not an ISO 8601 time"),
        ({"colour": 1}, "row 0: the model has no column 'colour'"),
    ],
)
def test_a_wrong_cell_is_named(fitted, changes, message):
    with pytest.raises(BadInput, match=message) as caught:
        fitted.transform(row(**changes))
    assert (caught.value.row, caught.value.column) == (0, next(iter(changes)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda t: t.drop(columns="city"), "column 'city' is missing$"),
        (lambda t: t.drop(columns=["city", "age"]), r"column 'age' is missing \(and 1 more\)"),
        (lambda t: t.assign(colour=1), "the model has no column 'colour'"),
        (lambda t: t.assign(age="x"), "row 0, column 'age' is 'x', not a number"),
        (lambda t: t.assign(city=t["seen"]), "column 'city' is .*, not text"),
        (lambda t: t.assign(smoker="x"), "column 'smoker' is 'x', not true or false"),
        (lambda t: t.assign(seen=5.0), "column 'seen' is 5.0, not a date"),
        (lambda t: t.assign(at=5.0), "column 'at' is 5.0, not a time"),
        (lambda t: t.head(0), "no rows"),
    ],
)
def test_a_wrong_frame_is_named(fitted, spoil, message):
    with pytest.raises(BadInput, match=message):
        fitted.transform(spoil(frame()))


def test_a_record_without_a_key_is_not_one_with_a_null(fitted):
    record = usual()
    del record["weight"]
    with pytest.raises(BadInput, match="row 1: column 'weight' is missing"):
        fitted.transform([usual(), record])


def test_many_rows_are_encoded_in_parts(monkeypatch):
    from ebm.preprocessing import mixed

    table = frame()
    arrays = {"numbers": table[["age", "weight"]].to_numpy(dtype=float), "frame": table}
    for name, values in arrays.items():
        fitted = Mixed().fit(values)
        whole = fitted.transform(values)
        monkeypatch.setattr(mixed, "CHUNK", 128)
        np.testing.assert_array_equal(fitted.transform(values), whole, err_msg=name)
        monkeypatch.undo()
    fitted = Mixed().fit(arrays["numbers"])
    monkeypatch.setattr(mixed, "CHUNK", 128)
    for bad, word in ((np.nan, "missing"), (np.inf, "infinite"), (1e300, "too large")):
        spoilt = arrays["numbers"].copy()
        spoilt[300, 0] = bad
        with pytest.raises(BadInput, match=f"row 300, column 0 is {word}") as caught:
            fitted.transform(spoilt)
        assert caught.value.row == 300
    fitted = Mixed().fit(table)
    monkeypatch.setattr(mixed, "CHUNK", 128)
    with pytest.raises(BadInput, match="row 300, column 'age' is missing"):
        fitted.transform(table.assign(age=table["age"].where(table.index != 300)))
