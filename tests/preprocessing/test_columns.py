import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from ebm.preprocessing.columns import CellError, Datetime, Numeric, learn

UTC = dt.UTC
NOON = dt.datetime(2024, 1, 1, 12)


def taught(cells, **options):
    return learn(
        "x", cells if isinstance(cells, pa.Array) else pa.array(cells), options.get("max_levels", 32)
    )


@pytest.mark.parametrize(
    "cells, kind",
    [
        (pa.array([1, 2], pa.uint8()), "numeric"),
        (pa.array([1, 2**62 + 1]), "numeric"),
        (pa.array(np.array([1, 2], np.float16)), "numeric"),
        (pa.array([Decimal("1.5"), None]), "numeric"),
        (pa.array([dt.timedelta(seconds=3), None]), "numeric"),
        (pa.array([None, None], pa.float64()), "numeric"),
        (pa.array([0, 1]), "numeric"),
        (pa.array([True, None]), "boolean"),
        (pa.array(["1", "2"]), "categorical"),
        (pa.array(["a", None], pa.large_string()), "categorical"),
        (pa.array(["a", None], pa.string_view()), "categorical"),
        (pa.array([None], pa.string()), "categorical"),
        (pa.array(["a", "b"]).dictionary_encode(), "categorical"),
        (pa.array([3, 4]).dictionary_encode(), "categorical"),
        (pa.array([True, False]).dictionary_encode(), "categorical"),
        (pa.array([NOON]), "datetime"),
        (pa.array([NOON], pa.timestamp("ns", "Europe/Berlin")), "datetime"),
        (pa.array(["2024-01-01 12:00", None, "2024-01-01T12:00:00.25Z"]), "datetime"),
        (pa.array(["2024-01-01", "2024-02-29"]), "date"),
        (pa.array(["2024-01-01", "2024-02-30"]), "categorical"),
        (pa.array(["2024-01-01", "soon"]), "categorical"),
        (pa.array([NOON.date()]), "date"),
        (pa.array([NOON.date()], pa.date64()), "date"),
        (pa.array([NOON.time()]), "time"),
        (pa.array([5], pa.time32("s")), "time"),
        (pa.nulls(2), "null"),
    ],
    ids=lambda v: str(getattr(v, "type", v)),
)
def test_type_by_the_cells(cells, kind):
    column = taught(cells)
    assert column.type == kind
    z = column.encode(
        column.accept(cells if not pa.types.is_dictionary(cells.type) else cells.dictionary_decode())
    )
    assert z.shape == (len(cells), column.width) == (len(cells), len(column.discrete))
    assert np.isfinite(z).all()
    assert column.decode(z).null_count == cells.null_count
    # The example is itself a cell that the column takes.
    assert len(column.accept_python([column.example])) == 1


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.binary(), pa.struct({"a": pa.int64()})], ids=str)
def test_types_without_an_encoding(kind):
    with pytest.raises(CellError):
        taught(pa.nulls(2, kind))


def test_a_column_of_nulls_takes_anything_and_shows_it():
    column = taught(pa.nulls(5))
    for cells in (pa.array([None, 3.0]), pa.array([None, "x"]), pa.array([np.nan, 2.0])):
        np.testing.assert_array_equal(column.encode(column.accept(cells)), [[0.0], [6.0]])
    np.testing.assert_array_equal(column.encode(column.accept_python([None, "x"])), [[0.0], [6.0]])
    assert column.describe() == {"name": "x", "type": "null", "nullable": True, "nulls": 1.0}


def test_levels_by_frequency_and_the_rest_together():
    column = taught(["b"] * 5 + ["a"] * 4 + ["c"] + ["d"], max_levels=2)
    about = column.describe()
    assert about["levels"] == {"b": 5 / 11, "a": 4 / 11} and about["other"] == pytest.approx(2 / 11)
    assert column.width == 4  # b, a, other, unseen
    assert column.decode(column.encode(pa.array(["d", "a"]))).to_pylist() == ["c", "a"]


def test_distances_between_levels():
    column = taught(["a"] * 5 + ["b"] * 3 + ["c"] * 2)
    s2 = 1 / (1 - 0.25 - 0.09 - 0.04)
    z = column.encode(pa.array(["a", "b", "unseen"]))
    assert ((z[0] - z[1]) ** 2).sum() == pytest.approx(2 * s2)
    assert ((z[0] - z[2]) ** 2).sum() == pytest.approx(8 * s2)
    assert ((z[1] - z[2]) ** 2).sum() == pytest.approx(8 * s2)


@pytest.mark.parametrize("constant", [0.1, 3e9 + 0.1, -1e20])
def test_a_constant_is_zero_and_a_departure_shows(constant):
    column = taught([constant] * 1000)
    assert column.constant and column.sd == 1 and column.mean == constant
    assert column.encode(pa.array([constant, constant + 1e6])).tolist() == [
        [0.0],
        [constant + 1e6 - constant],
    ]


def test_whole_numbers_come_back_whole_and_others_as_they_were():
    integers = taught([1, 2, 2**53])
    assert integers.decode(np.array([[0.1], [1e30], [-1e30]])).type == pa.int64()
    assert taught([1, 4]).decode(np.array([[0.3]])).to_pylist() == [3]  # 2.5 + .3 * 1.5 = 2.95
    assert taught([1.0, 4.0]).decode(np.array([[0.3]])).to_pylist() == [pytest.approx(2.95)]


def test_times_of_every_zone_are_one_instant():
    column = taught(pa.array([NOON, NOON + dt.timedelta(days=30)], pa.timestamp("s", "UTC")))
    texts = ["2024-01-01T12:00:00", "2024-01-01 12:00", "2024-01-01T12:00:00Z", "2024-01-01T14:00:00+02:00"]
    moments = [NOON, NOON.replace(tzinfo=UTC), NOON.astimezone(dt.timezone(dt.timedelta(hours=-5)))]
    same = [*(column.accept_python([t]) for t in texts), column.accept(pa.array(texts))]
    same += [column.accept(pa.array([NOON], pa.timestamp("ms", "Asia/Tokyo")))]
    for cells in same:
        assert set(cells.to_pylist()) == {NOON}
    # A moment without a zone is read as UTC.
    assert column.accept_python([moments[0], moments[1]]).to_pylist() == [NOON, NOON]
    back = column.decode(column.encode(pa.array([NOON], pa.timestamp("us"))))
    assert back.type == pa.timestamp("us", "UTC") and back.cast(pa.timestamp("us")).to_pylist() == [NOON]


def test_fractions_of_seconds_matter_where_training_had_them():
    short = [NOON + dt.timedelta(microseconds=k) for k in (0, 500, 1000)]
    column = taught(short)
    assert column.decode(column.encode(pa.array(short))).to_pylist() == short
    assert not column.whole_seconds and column.hour is None


def test_decoded_moments_stay_in_the_calendar():
    for cells in (
        pa.array([NOON, NOON + dt.timedelta(days=400)]),
        pa.array([NOON.date(), dt.date(2025, 1, 1)]),
    ):
        column = taught(cells)
        z = np.zeros((2, column.width))
        z[:, 0] = [-1e9, 1e9]
        years = [cell.year for cell in column.decode(z).to_pylist()]
        assert years == [1, 9999]


def test_a_time_of_day_is_a_point_on_a_circle():
    times = [dt.time(23, 59, 50), dt.time(0, 0, 10), dt.time(12)]
    column = taught(times)
    z = column.encode(column.accept(pa.array(times)))
    assert np.linalg.norm(z[0] - z[1]) < 0.01 < 1 < np.linalg.norm(z[0] - z[2])
    assert column.decode(z).to_pylist() == times
    assert column.accept_python(["12:00", dt.time(12), None]).to_pylist() == [dt.time(12), dt.time(12), None]


def test_stored_values_are_checked():
    for wrong in ({"sd": 0.0}, {"mean": float("nan")}, {"nulls": 2.0}, {"copies": 0.5}, {"colour": 1}):
        with pytest.raises(ValueError):
            Numeric(name="x", **wrong)
    with pytest.raises(ValueError):
        Datetime(name="x", timezone="not a zone")
