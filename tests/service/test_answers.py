"""Choosing a media type, and naming what JSON cannot hold."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest

from service.answers import choose, json_answer, non_finite, rows_of
from service.errors import Problem

J, N, P = "application/json", "application/x-npy", "image/png"


@pytest.mark.parametrize(
    "accept, want",
    [
        (None, J),
        ("*/*", J),
        ("", J),
        (N, N),
        ("APPLICATION/X-NPY", N),
        ("image/*", P),
        (f"{J};q=0.5, {N}", N),
        (f"text/html, {P};q=0.3, */*;q=0.1", P),
        (f"*/*, {J};q=0", N),
        (f"application/*;q=0.2, {P};q=0.1", J),
        (f"{N};q=oops, {P}", P),
    ],
)
def test_the_clients_favourite_wins(accept: str | None, want: str) -> None:
    assert choose(accept, [J, N, P]) == want


@pytest.mark.parametrize("accept", ["text/html", f"{J};q=0", "nonsense"])
def test_nothing_fits(accept: str) -> None:
    with pytest.raises(Problem) as caught:
        choose(accept, [J])
    assert caught.value.status == 406


def test_each_number_that_json_cannot_hold_is_named() -> None:
    found = non_finite(a=np.array([1, np.nan]), b=np.array([-np.inf, np.inf]))
    assert [tuple(one.values()) for one in found] == [
        (1, "a", "NaN"),
        (0, "b", "-Infinity"),
        (1, "b", "Infinity"),
    ]


def test_cells_of_a_table_as_json_has_them():
    noon = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
    table = pa.table({"t": pa.array([noon, None], pa.timestamp("us", "Europe/Berlin")), "b": [True, None]})
    rows = rows_of(table)
    assert rows == [[noon, True], [None, None]]
    assert rows[0][0].utcoffset() == dt.timedelta(0)
    body = json.loads(json_answer({"rows": rows}).body)
    assert body == {"rows": [["2024-01-01T12:00:00+00:00", True], [None, None]]}
    array = np.eye(2)
    assert rows_of(array) is array
