import json

import numpy as np
import pyarrow as pa
import pytest
from people import N, frame, row

from ebm.errors import BadArtifact, BadInput
from ebm.preprocessing import Mixed, MixedConfig


@pytest.fixture(scope="module")
def fitted() -> Mixed:
    return Mixed().fit(frame())


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
