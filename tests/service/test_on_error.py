"""`"on_error": "null"`: rows that cannot be scored are named, all others scored, the order kept."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import corpus
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_body_formats import BLOBS, MIXED, PEOPLE, post

from ebm.errors import BadInput
from ebm.sieve import sieve

GOOD = [41.0, 3100.0, 1.75]
NULL = {"on_error": "null"}
FIELDS = ("energy", "anomaly_score", "p_value", "is_anomaly", "rank")
BAD_ROWS: list[Any] = [
    GOOD[:2],
    [41, "x", 1],
    [41, None, 1],
    [*GOOD, 1],
    3,
    "x",
    {"age": 1},
    [[1], 2, 3],
    [41, 1e300, 1],
]


def expect(document: dict[str, Any], want: dict[str, Any], bad: list[int]) -> None:
    """`document` has the columns of `want`, a request without the bad rows, and null in their places."""
    assert [error["row"] for error in document["errors"]] == bad
    for field in FIELDS:
        column = document[field]
        assert [i for i, cell in enumerate(column) if cell is None] == bad, field
        rest = [cell for cell in column if cell is not None]
        np.testing.assert_allclose(rest, want[field], rtol=1e-6, err_msg=field)


@pytest.mark.parametrize("bad", BAD_ROWS, ids=range(len(BAD_ROWS)))
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_bad_row_among_good_ones(both: Any, bad: Any, place: int) -> None:
    good = [GOOD, [40, 2500, 1.6], [60, 4000, 1.9]]
    rows = [*good[:place], bad, *good[place:]]
    answer = both.post(PEOPLE, json={"instances": rows, **NULL, "fpr": 0.2})
    assert answer.status_code == 200, answer.text
    expect(answer.json(), both.post(PEOPLE, json={"instances": good, "fpr": 0.2}).json(), [place])
    assert f"row {place}" in answer.json()["errors"][0]["detail"] or bad == {"age": 1}
    refused = both.post(PEOPLE, json={"instances": rows})
    assert refused.status_code == 422


def test_the_column_at_fault(both: Any, person: dict[str, float]) -> None:
    records = [person, {**person, "income": None}, {"age": 1}, {**person, "colour": 1}, person]
    errors = both.post(PEOPLE, json={"records": records, **NULL}).json()["errors"]
    assert [(e["row"], e["column"]) for e in errors] == [(1, "income"), (2, "income"), (3, "colour")]
    assert errors[0]["detail"] == "row 1, column 'income': is missing"
    mixed = corpus.mixed().to_pylist()
    mixed[1]["member"], mixed[3]["since"], mixed[4]["age"] = "perhaps", "never", 1e300
    body = json.dumps({"records": mixed, **NULL}, default=lambda moment: moment.isoformat())
    document = both.post(MIXED, content=body).json()
    assert [(e["row"], e["column"]) for e in document["errors"]] == [(1, "member"), (3, "since"), (4, "age")]


def test_no_good_row(both: Any) -> None:
    document = both.post(PEOPLE, json={"instances": [[1], [2]], **NULL, "fdr": 0.1}).json()
    assert all(document[field] == [None, None] for field in FIELDS)
    assert len(document["errors"]) == 2 and document["fdr"] == 0.1


def test_what_is_wrong_with_all_rows_still_fails_the_request(both: Any) -> None:
    assert both.post(PEOPLE, json={"instances": [], **NULL}).status_code == 422
    assert both.post(PEOPLE, json={"instances": [GOOD], "on_error": "skip"}).status_code == 422
    lost = corpus.stream(corpus.people().drop_columns(["age"]))
    assert post(both, PEOPLE, corpus.STREAM, lost, params=NULL).status_code == 422
    assert both.post(PEOPLE, json={"instances": [GOOD] * 101, **NULL}).status_code == 422


def test_npy(both: Any) -> None:
    rows = np.array([GOOD] * 5)
    rows[1, 2], rows[4, 0] = np.nan, np.inf
    document = post(both, PEOPLE, corpus.NPY, corpus.npy(rows), params=NULL).json()
    expect(document, both.post(PEOPLE, json={"instances": [GOOD] * 3}).json(), [1, 4])
    assert [e["column"] for e in document["errors"]] == ["height", "age"]


def test_csv_with_ragged_lines_and_wrong_cells(both: Any) -> None:
    text = (
        b"age,income,height\n41,3100,1.75\n1,2\nx,3100,1.75\n41,3100,1.75\n1,2,3,4\n\n41,,1\n41,3100,1.75\n"
    )
    document = post(both, PEOPLE, corpus.CSV, text, params=NULL).json()
    expect(document, both.post(PEOPLE, json={"instances": [GOOD] * 3}).json(), [1, 2, 4, 5])
    details = [e["detail"] for e in document["errors"]]
    assert "2 cells, not 3" in details[0] and details[1].startswith("row 2, column 'age'")
    assert "4 cells" in details[2] and details[3].startswith("row 5, column 'income'")


@pytest.mark.parametrize("kind, write", [(corpus.STREAM, corpus.stream), (corpus.PARQUET, corpus.parquet)])
def test_tables_with_nulls(both: Any, kind: str, write: Any) -> None:
    rows = pa.table({"age": [41, None, 41], "income": [3100.0, 1.0, 3100.0], "height": [1.75, 1.0, math.nan]})
    document = post(both, PEOPLE, kind, write(rows), params=NULL).json()
    expect(document, both.post(PEOPLE, json={"instances": [GOOD]}).json(), [1, 2])


def test_pictures(both: Any) -> None:
    good = corpus.picture()
    form = corpus.form(
        ("a.png", corpus.PNG, good), ("b.png", corpus.PNG, good[:50]), ("c.png", corpus.PNG, good)
    )
    document = post(both, BLOBS, corpus.FORM, form, params=NULL).json()
    energy = post(both, BLOBS, corpus.PNG, good).json()["energy"][0]
    assert document["energy"] == [energy, None, energy]
    assert "b.png" in document["errors"][0]["detail"]


def test_the_binary_answers(both: Any) -> None:
    body = {"instances": [GOOD, [1], GOOD], **NULL}
    energy = both.post(PEOPLE, json={"instances": [GOOD]}).json()["energy"][0]
    as_npy = both.post(PEOPLE, json=body, headers={"accept": corpus.NPY})
    table = np.load(io.BytesIO(as_npy.content))
    np.testing.assert_allclose(table["energy"], [energy, np.nan, energy], rtol=1e-6)
    assert table["rank"].tolist() == [1, 0, 1] and as_npy.headers["x-rows-not-scored"] == "1"
    as_arrow = both.post(PEOPLE, json=body, headers={"accept": corpus.STREAM})
    columns = pa.ipc.open_stream(as_arrow.content).read_all()
    assert columns.column_names == list(FIELDS)
    for field in FIELDS:
        assert columns[field].is_null().to_pylist() == [False, True, False]
    assert columns["energy"].type == pa.float32() and columns["is_anomaly"].type == pa.bool_()
    about = columns.schema.metadata
    assert about[b"model"] == b"people" and json.loads(about[b"errors"])[0]["row"] == 1
    whole = both.post(PEOPLE, json={"instances": [GOOD]}, headers={"accept": corpus.STREAM})
    assert pa.ipc.open_stream(whole.content).read_all()["rank"].to_pylist() == [1]


def test_an_infinite_energy_keeps_its_place(both: Any) -> None:
    body = {"instances": [[1], GOOD, [41, 1e30, 1.75]], **NULL}
    document = both.post(PEOPLE, json=body).json()
    assert document["non_finite"][0] == {"row": 2, "field": "energy", "value": "Infinity"}
    assert document["is_anomaly"] == [None, False, True]


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_the_sieve_finds_what_each_row_says_alone(marks: list[bool]) -> None:
    tries = 0

    def check(rows: list[int]) -> np.ndarray:
        nonlocal tries
        tries += 1
        for i, row in enumerate(rows):
            if not marks[row]:
                raise BadInput(f"row {i} is bad", row=i, column=row)
        return np.array(rows)

    values, kept, errors = sieve(list(range(len(marks))), check)
    good = [i for i, mark in enumerate(marks) if mark]
    assert kept == good and (values is None or values.tolist() == good)
    assert [(e.row, e.column, e.detail) for e in errors] == [
        (i, i, f"row {i} is bad") for i, mark in enumerate(marks) if not mark
    ]
    bad = len(marks) - len(good)
    assert tries <= 1 + 2 * bad * math.ceil(math.log2(max(2, len(marks))))


def test_one_bad_row_among_many_costs_few_tries() -> None:
    seen = []

    def check(rows: np.ndarray) -> np.ndarray:
        seen.append(len(rows))
        if np.isnan(rows).any():
            raise BadInput("row 0 is missing", row=0)
        return rows

    rows = np.zeros(4096)
    rows[1234] = np.nan
    _, kept, errors = sieve(rows, check)
    assert len(kept) == 4095 and errors[0].row == 1234
    assert len(seen) == 25 and sum(seen) <= 3 * 4096
