import datetime as dt
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ebm.errors import BadArtifact, BadInput
from ebm.preprocessing import Mixed, MixedConfig, Standardize

N = 400


def frame(seed: int = 0, n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2024-01-01")
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "weight": np.where(rng.random(n) < 0.1, np.nan, rng.normal(70, 10, n)),
            "smoker": pd.array(np.where(rng.random(n) < 0.2, None, rng.random(n) < 0.3), dtype="boolean"),
            "city": rng.choice(["Bonn", "Rome", "Oslo", None], n, p=[0.5, 0.3, 0.1, 0.1]),
            "street": rng.choice([f"street {i}" for i in range(60)], n),
            "seen": start + pd.to_timedelta(rng.integers(0, 60 * 86400, n), unit="s"),
            "born": [dt.date(1950, 1, 1) + dt.timedelta(days=int(k)) for k in rng.integers(0, 9999, n)],
            "at": [dt.time(int(h), 30) for h in rng.integers(6, 20, n)],
            "unit": "kg",
            "nothing": [None] * n,
        }
    )


@pytest.fixture(scope="module")
def fitted() -> Mixed:
    return Mixed().fit(frame())


def row(**changes) -> list[dict]:
    return [{**usual(), **changes}]


def usual() -> dict:
    return {
        "age": 50, "weight": 70.5, "smoker": False, "city": "Bonn", "street": "street 1", "unit": "kg",
        "seen": "2024-01-20T12:00:00", "born": "1970-05-01", "at": "12:30", "nothing": None,
    }  # fmt: skip


# -- encoding ------------------------------------------------------------------------------------------------------


def test_coordinates_have_mean_zero_and_features_a_squared_distance_of_two(fitted):
    table, rng = frame(), np.random.default_rng(0)
    z = fitted.transform(table)
    assert z.dtype == np.float32 and z.shape == (N, *fitted.shape) and np.isfinite(z).all()
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-5)
    i, j = rng.integers(0, N, (2, 100_000))
    features = {"age": 1, "weight": 1, "smoker": 1, "city": 1, "street": 1, "seen": 3, "born": 2, "at": 1}
    for name, count in features.items():
        own = z[:, fitted.coordinates_of(name)]
        mean_square = ((own[i] - own[j]) ** 2).sum(axis=1).mean()
        assert mean_square == pytest.approx(2 * count, rel=0.03), name
    for name in ("unit", "nothing"):
        assert (z[:, fitted.coordinates_of(name)] == 0).all()


def test_owners_and_discrete(fitted):
    names = list(frame())
    widths = np.bincount(fitted.owners)
    expected = {"age": 1, "weight": 2, "smoker": 2, "seen": 5, "born": 3, "at": 2, "unit": 2, "nothing": 1}
    # Three levels, null, unseen; 32 levels, the others, unseen.
    expected |= {"city": 5, "street": 34}
    assert dict(zip(names, widths.tolist(), strict=True)) == expected
    assert fitted.owners.dtype == np.int64 and (np.diff(fitted.owners) >= 0).all()
    flags = {name: fitted.discrete[fitted.coordinates_of(name)].tolist() for name in names}
    assert flags["age"] == [False] and flags["weight"] == [False, True] and flags["smoker"] == [True, True]
    assert all(flags["city"]) and not any(flags["seen"])
    np.testing.assert_array_equal(fitted.coordinates_of(1), fitted.coordinates_of("weight"))
    with pytest.raises(BadInput, match="no column 'x'"):
        fitted.coordinates_of("x")


def test_an_unseen_level_is_farther_than_any_seen_one(fitted):
    z = fitted.transform(frame())
    base = fitted.transform(row())
    seen = max(np.linalg.norm(fitted.transform(row(city=city)) - base) for city in ("Rome", "Oslo", None))
    unseen = fitted.transform(row(city="Atlantis"))
    own = fitted.coordinates_of("city")
    distances = np.linalg.norm(z[:, own] - unseen[:, own], axis=1)
    assert distances.min() > 1.9 * seen


def test_a_level_that_was_rare_is_not_unseen():
    levels = ["a"] * 50 + ["b"] * 40 + ["c"] * 6 + ["d"] * 4
    fitted = Mixed(max_levels=2).fit({"x": levels})
    z = fitted.transform({"x": ["c", "d", "e"]})
    np.testing.assert_array_equal(z[0], z[1])
    assert not np.array_equal(z[1], z[2])


def test_where_levels_keep_turning_up_a_new_one_is_no_news():
    rng = np.random.default_rng(0)
    fitted = Mixed().fit({"id": [f"id{i}" for i in range(200)], "x": rng.normal(size=200)})
    z = fitted.transform({"id": ["id7", "id9999"], "x": [0.0, 0.0]})
    np.testing.assert_array_equal(z[0], z[1])
    assert fitted.schema()["columns"][0]["open"]


def test_a_near_constant_column_does_not_dominate():
    level = ["a"] * 9999 + ["b"]
    fitted = Mixed().fit({"level": level, "flag": [x == "b" for x in level], "x": np.arange(10_000.0)})
    z = fitted.transform({"level": ["a", "b"], "flag": [False, True], "x": [0.0, 0.0]})
    for name in ("level", "flag"):
        own = fitted.coordinates_of(name)
        # The two columns say the same, so that each counts half.
        assert np.linalg.norm(z[0, own] - z[1, own]) == pytest.approx(6 / 2**0.5, rel=1e-5), name


def test_null_is_the_mean_and_an_indicator(fitted):
    value, null = fitted.transform(row()), fitted.transform(row(weight=None))
    own = fitted.coordinates_of("weight")
    assert null[0, own[0]] == 0 and value[0, own[0]] != 0
    p = frame()["weight"].isna().mean()
    assert null[0, own[1]] - value[0, own[1]] == pytest.approx(1 / np.sqrt(1 - p), rel=1e-5)
    assert (fitted.transform(row(weight=np.nan)) == null).all()


def test_time_of_day_and_weekday_are_cycles(fitted):
    own = fitted.coordinates_of("seen")[1:3]
    late, early, noon = (
        fitted.transform(row(seen=f"2024-01-20T{t}"))[0, own] for t in ("23:59:00", "00:01:00", "12:00:00")
    )
    assert np.linalg.norm(late - early) < 0.05 < 1.9 < np.linalg.norm(late - noon)
    own = fitted.coordinates_of("seen")[3:5]
    monday, next_monday, thursday = (
        fitted.transform(row(seen=f"2024-01-{day:02}"))[0, own] for day in (1, 8, 4)
    )
    np.testing.assert_allclose(monday, next_monday, atol=1e-6)
    assert np.linalg.norm(monday - thursday) > 1.5


def test_copies_count_as_one_column_and_their_disagreement_shows():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 500))
    once = Mixed().fit(np.c_[x, y])
    thrice = Mixed().fit(np.c_[x, y, 3 - 2 * x, x])
    points = rng.normal(size=(20, 2))
    copied = np.c_[points, 3 - 2 * points[:, 0], points[:, 0]]
    a, b = once.transform(points), thrice.transform(copied)
    distance = lambda z: np.linalg.norm(z[:, None] - z[None], axis=-1)  # noqa: E731
    np.testing.assert_allclose(distance(a), distance(b), atol=1e-4)
    odd = copied[:1] + [[0, 0, 0, 5.0]]
    assert np.linalg.norm(thrice.transform(odd) - b[:1]) == pytest.approx(5 / x.std() / 3**0.5, rel=1e-3)
    np.testing.assert_allclose(thrice.inverse(b), copied, atol=1e-5)


def test_near_copies_count_in_part_and_strangers_in_full():
    rng = np.random.default_rng(0)
    x, y, noise = rng.normal(size=(3, 5000))
    r = 0.995
    fitted = Mixed().fit(np.c_[x, r * x + np.sqrt(1 - r**2) * noise, y])
    sd = fitted.transform(np.c_[x, r * x + np.sqrt(1 - r**2) * noise, y]).std(axis=0)
    np.testing.assert_allclose(sd, [1 / 1.5**0.5, 1 / 1.5**0.5, 1], atol=0.02)


def test_categories_that_split_the_rows_alike_are_copies():
    code = np.random.default_rng(0).choice(["1", "2", "3"], 100)
    name = np.array(["one", "two", "three"])[code.astype(int) - 1]
    alone = Mixed().fit({"code": code})
    both = Mixed().fit({"code": code, "name": name})
    a, b = alone.transform({"code": ["1", "2"]}), both.transform({"code": ["1", "2"], "name": ["one", "two"]})
    assert np.linalg.norm(a[0] - a[1]) == pytest.approx(np.linalg.norm(b[0] - b[1]), rel=1e-5)


# -- round trips ---------------------------------------------------------------------------------------------------


def test_inverse_gives_the_table_back(fitted):
    table = frame()
    back = fitted.inverse(fitted.transform(table)).to_pandas()
    assert list(back) == list(table)
    known = {f"street {i}" for i in range(60)}
    frequent = table["street"].isin(fitted.schema()["columns"][4]["levels"])
    assert set(back["street"]) <= known and (back["street"] == table["street"])[frequent].all()
    for name in ("age", "city", "seen", "born", "at", "unit", "nothing"):
        expected = table[name].where(table[name].notna(), None).tolist()
        assert back[name].where(back[name].notna(), None).tolist() == expected, name
    np.testing.assert_allclose(back["weight"], table["weight"], rtol=1e-5)
    assert (
        back["smoker"].tolist()
        == table["smoker"].astype(object).where(table["smoker"].notna(), None).tolist()
    )


def test_inverse_of_what_no_row_encodes_is_still_a_row(fitted):
    z = np.random.default_rng(0).normal(size=(50, *fitted.shape)) * 100
    back = fitted.inverse(z)
    assert back.num_rows == 50
    assert fitted.transform(back).shape == z.shape


def test_arrays_keep_the_transform_bit_by_bit(fitted):
    arrays = fitted.arrays()
    assert all(array.dtype.kind in "iuf" for array in arrays.values())
    again = MixedConfig().build().load_arrays({k: v.copy() for k, v in arrays.items()})
    other = frame(seed=1)
    z = fitted.transform(other)
    np.testing.assert_array_equal(again.transform(other), z)
    assert again.inverse(z) == fitted.inverse(z)
    assert again.schema() == fitted.schema() and again.columns == fitted.columns
    np.testing.assert_array_equal(again.owners, fitted.owners)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["columns"].clear(),
        lambda s: s["columns"][0].update(sd=0.0),
        lambda s: s["columns"][0].update(mean=None),
        lambda s: s["columns"][0].update(type="strange"),
        lambda s: s["columns"][0].update(extra=1),
        lambda s: s["columns"][0].update(name="city"),
        lambda s: s["columns"][1].update(nulls=1.5),
        lambda s: s["columns"][3].update(levels=["a", "a", "b"]),
        lambda s: s["columns"][3].update(shares=[0.5, 0.5]),
        lambda s: s["columns"][3].update(shares=[0.9, 0.9, 0.9]),
        lambda s: s["columns"][5].update(hour=[3.0, 0.0]),
        lambda s: s["columns"][5].update(timezone="Mars; Olympus"),
        lambda s: s.update(frame=False),
        lambda s: s.clear(),
    ],
)
def test_tampered_arrays_are_refused(fitted, change):
    stored = json.loads(fitted.arrays()["schema"].tobytes())
    change(stored)
    with pytest.raises(BadArtifact, match="'schema'"):
        Mixed().load_arrays({"schema": np.frombuffer(json.dumps(stored).encode(), np.uint8)})


def test_schema_says_what_a_request_may_hold(fitted):
    schema = fitted.schema()
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema
    columns = {column["name"]: column for column in schema["columns"]}
    assert [c["type"] for c in columns.values()] == [
        "numeric", "numeric", "boolean", "categorical", "categorical", "datetime", "date", "time", "categorical",
        "null",
    ]  # fmt: skip
    assert columns["age"]["integer"] and columns["age"]["max"] == frame()["age"].max()
    assert columns["weight"]["nullable"] and not columns["age"]["nullable"]
    assert list(columns["city"]["levels"]) == ["Bonn", "Rome", "Oslo"]
    assert columns["seen"]["cycles"] == ["hour", "weekday"] and columns["seen"]["min"].startswith(
        "2024-01-01T"
    )
    assert columns["born"]["max"] == max(frame()["born"]).isoformat()


# -- matching ------------------------------------------------------------------------------------------------------


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


# -- fitting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values, message",
    [
        ({"a": [1.0, 2.0], "b": [1.0, float("inf")]}, "row 1, column 'b' is infinite"),
        ({"a": [1.0, 1e300]}, "row 1, column 'a' is too large"),
        ({"a": [None, 1.0, 1e300]}, "row 2, column 'a' is too large"),
        ([[1.0, None], [2.0, 1e300]], "row 1, column 1 is too large"),
        ({"a": [[1], [2]]}, r"row 0, column 'a' is \[1\], not a number"),
        ({"a": [b"x", b"y"]}, "column 'a' is b'x', not"),
        ({"a": ["x", "x"], "b": [1, 1]}, "every column is constant over the 2 training rows"),
        ({"a": [None, None]}, "every column is constant"),
        ({"a": ["x"]}, "at least 2 rows, got 1"),
        ({"a": []}, "at least 2 rows, got 0"),
        (np.zeros((5, 0)), "shape"),
        (np.zeros((5, 2, 2)), "shape"),
    ],
)
def test_what_cannot_be_learnt(values, message):
    with pytest.raises(BadInput, match=message):
        Mixed().fit(values)


def test_names_must_match_the_width():
    for values in (np.eye(2), [["a", 1], ["b", 2]]):
        with pytest.raises(BadInput, match="3 column names for 2 columns"):
            Mixed().fit(values, ["a", "b", "c"])


def test_many_categories_share_a_bounded_number_of_coordinates():
    rng = np.random.default_rng(0)
    table = pa.table({f"c{i}": rng.integers(0, 30, 200).astype(str) for i in range(1000)})
    fitted = Mixed().fit(table)
    assert fitted.shape[0] <= 1000 * (8 + 2)
    assert fitted.transform(table).shape == (200, *fitted.shape)


def test_two_thousand_columns_of_numbers():
    x = np.random.default_rng(0).normal(size=(60, 2000))
    fitted = Mixed().fit(x)
    assert fitted.shape == (2000,)
    again = Mixed().load_arrays(fitted.arrays())
    np.testing.assert_array_equal(again.transform(x[:3]), fitted.transform(x[:3]))
