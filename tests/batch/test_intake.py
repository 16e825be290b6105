"""What a model takes of a block: the good rows as one call would, the bad ones with row, column and reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from analytic_detectors import analytic_detector, gaussian

from ebm.batch.intake import Intake
from ebm.batch.score import ScoreWork
from ebm.batch.spec import ScoreOptions
from ebm.data.streams import START, Bad, Block, Mark
from ebm.errors import BadInput
from ebm.preprocessing import Mixed, ScaleImage


class Rows:
    """A source of one block in memory."""

    random_access = True

    def __init__(
        self, rows: Any, *, text: bool = False, named: bool = True, first: int = 0, bad: tuple[Bad, ...] = ()
    ):
        self.name, self.text, self.n_rows = "rows.csv", text, len(rows)
        table = rows if isinstance(rows, pa.Table) else None
        self.columns = table.column_names if table is not None and named else None
        ends = Mark(first), Mark(first + len(rows))
        self.block = Block(*ends, table, None if table is not None else rows, bad)

    def identity(self) -> dict[str, Any]:
        return {}

    def marks(self, rows: int) -> Iterator[Mark]:
        yield self.block.start

    def blocks(self, rows: int, start: Mark = START) -> Iterator[Block]:
        yield self.block

    def close(self) -> None: ...


def taken(detector: Any, source: Rows) -> tuple[list[float], list[int] | None, list[Bad]]:
    got = Intake(detector, source).take(source.block, detector.energies)
    energies = [] if got.result is None else got.result.tolist()
    return energies, None if got.kept is None else got.kept.tolist(), list(got.bad)


def text_table(**columns: list[str]) -> pa.Table:
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})


def test_text_is_read_as_the_readers_read_it(known) -> None:
    cells = text_table(
        b=["1", " 2 ", "1e3", "x", "", "NA", "1,5", "inf"],
        a=["0"] * 8,
        other=["z"] * 8,
        c=["2", "2.5", "-1"] + ["0"] * 5,
    )
    energies, kept, bad = taken(known, Rows(cells, text=True, first=100))
    assert kept == [0, 1, 2]
    expected = known.score(np.array([[0, 1, 2], [0, 2, 2.5], [0, 1000, -1]])).energy
    assert energies == expected.tolist()
    assert bad == [
        Bad(103, "column 'b': 'x' is not a number", "b"),
        Bad(104, "column 'b' is missing (NaN)", "b"),
        Bad(105, "column 'b' is missing (NaN)", "b"),
        Bad(106, "column 'b': '1,5' is not a number", "b"),
        Bad(107, "column 'b' is infinite", "b"),
    ]


def test_rows_that_could_not_be_read_are_not_tried(known) -> None:
    table = pa.table({name: [0.0, None, 1.0] for name in "abc"})
    source = Rows(table, first=5, bad=(Bad(6, "row 6 has 2 cells, the header has 3"),))
    energies, kept, bad = taken(known, source)
    assert (len(energies), kept, bad) == (2, [0, 2], list(source.block.bad))


def test_bad_rows_of_both_kinds_keep_their_places(known) -> None:
    table = pa.table({name: [0.0, None, 1.0, np.inf, 2.0] for name in "abc"})
    energies, kept, bad = taken(known, Rows(table, bad=(Bad(1, "torn"),)))
    assert kept == [0, 2, 4] and [one.row for one in bad] == [1, 3]
    assert energies == known.score(np.array([[0.0] * 3, [1] * 3, [2] * 3])).energy.tolist()


def test_a_missing_cell_that_is_allowed_does_not_speak_for_others() -> None:
    rows = np.array([[0.0, np.nan], [2, 3], [5, 1]])
    nullable = analytic_detector(gaussian([0.0] * 3, [1.0] * 3), Mixed().fit(rows), rows)
    values = np.array([[1e300, np.nan], [1, np.nan], [np.nan, 1], [np.nan, 2]])
    _, kept, bad = taken(nullable, Rows(values))
    assert kept == [1] and [one.row for one in bad] == [0, 2, 3]
    assert "too large" in bad[0].reason and bad[1].reason == bad[2].reason != bad[0].reason


def test_what_only_the_encoding_finds(known) -> None:
    values = np.zeros((6, 3))
    values[2, 1], values[4, 0] = 1e300, np.nan
    table = pa.table({name: values[:, j] for j, name in enumerate("abc")})
    _, kept, bad = taken(known, Rows(table))
    assert kept == [0, 1, 3, 5]
    assert [(one.row, one.column) for one in bad] == [(2, "b"), (4, "a")]
    assert "too large for float32" in bad[0].reason and "missing" in bad[1].reason


def test_many_bad_rows_cost_few_tries(known, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20_000, 3))
    values[rng.random(20_000) < 0.5, 1] = np.nan
    values[rng.random(20_000) < 0.1, 0] = -np.inf
    calls, transform = [0], known.preprocessor.transform

    def counting(rows):
        calls[0] += 1
        return transform(rows)

    monkeypatch.setattr(known.preprocessor, "transform", counting)
    _, kept, bad = taken(known, Rows(values))
    assert calls[0] < 20
    good = np.isfinite(values).all(axis=1)
    assert kept == np.flatnonzero(good).tolist() and [b.row for b in bad] == np.flatnonzero(~good).tolist()
    for one in bad[:200]:
        alone = values[one.row]
        assert one.column == ("a" if np.isinf(alone[0]) else "b")
        assert one.reason == (
            "column 'a' is infinite" if np.isinf(alone[0]) else "column 'b' is missing (NaN)"
        )


def test_every_row_may_be_bad(known) -> None:
    energies, kept, bad = taken(known, Rows(np.full((4, 3), np.nan)))
    assert (energies, kept, len(bad)) == ([], [], 4)
    part = ScoreWork(known, ScoreOptions(), Rows(np.full((4, 3), np.nan))).part(
        Rows(np.full((4, 3), np.nan)).block, 0
    )
    assert part.table is not None and part.table["energy"].null_count == 4 and part.anomalies == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Rows(pa.table({"a": [1.0], "c": [1.0]})), "rows.csv: column 'b' is missing"),
        (Rows(np.zeros((5, 4))), "rows.csv: row 0 has 4 values, the model takes 3 columns"),
        (Rows(np.zeros((5, 2, 2))), "rows.csv: row 0 has shape"),
        (Rows(pa.table({"0": [1.0], "1": [1.0]}), named=False), "row 0 has 2 columns, the model takes 3"),
        (Rows(pa.table({n: ["x"] for n in "abc"})), "column 'a' holds string, not numbers"),
        (Rows(pa.table([[1.0]] * 4, names=["a", "b", "b", "c"])), "two columns are named 'b'"),
    ],
)
def test_what_is_wrong_with_the_whole_is_no_matter_of_rows(known, source, message) -> None:
    with pytest.raises(BadInput, match=message):
        taken(known, source)


def test_a_file_without_names_is_taken_by_position(known) -> None:
    source = Rows(text_table(**{"0": ["0", "1"], "1": ["1", "x"], "2": ["2", "3"]}), text=True, named=False)
    got = Intake(known, source).take(source.block, known.energies)
    assert got.table.column_names == ["a", "b", "c"] and got.used == ("a", "b", "c")
    assert got.bad == (Bad(1, "column 'b': 'x' is not a number", "b"),)


def test_a_pandas_index_is_no_column_of_the_model() -> None:
    rows = np.array([[0.0, 1], [2, 3], [5, 1]])
    unnamed = analytic_detector(gaussian([0, 0], [1, 1]), Mixed().fit(rows), rows)
    table = pa.table({"p": [1.0], "q": [2.0], "__index_level_0__": [7]})
    got = Intake(unnamed, Rows(table)).take(Rows(table).block, lambda values: values)
    assert got.result.tolist() == [[1, 2]] and got.table.column_names == table.column_names


PEOPLE = {
    "age": [30.0, 40.0, 50.0, None] * 5,
    "kind": ["a", "b", "a", "b"] * 5,
    "ok": [True, False, True, True] * 5,
}


@pytest.fixture(scope="module")
def people():
    model = Mixed().fit(PEOPLE)
    return analytic_detector(gaussian([0] * model.shape[0], [1] * model.shape[0]), model, PEOPLE)


def test_mixed_columns_from_text(people) -> None:
    cells = text_table(
        ok=["true", "0", "maybe", "1", ""],
        age=["30", "", "40", "old", "50"],
        kind=["a", "new", "b", "a", "b"],
    )
    energies, kept, bad = taken(people, Rows(cells, text=True))
    expected = people.score({"age": [30.0, None], "kind": ["a", "new"], "ok": [True, False]}).energy
    assert kept == [0, 1] and energies == expected.tolist()
    assert [(b.row, b.column, b.reason) for b in bad] == [
        (2, "ok", "column 'ok' is 'maybe', not true or false"),
        (3, "age", "column 'age' is 'old', not a number"),
        (4, "ok", "column 'ok' is missing (no training row had a null there)"),
    ]


def test_mixed_columns_by_type(people) -> None:
    n = 3000
    rng = np.random.default_rng(0)
    nulls = rng.random(n) < 0.4
    ok = pa.array(rng.random(n) < 0.5, mask=nulls)
    table = pa.table({"kind": ["a"] * n, "ok": ok, "more": range(n), "age": rng.normal(40, 9, n)})
    energies, kept, bad = taken(people, Rows(table))
    assert kept == np.flatnonzero(~nulls).tolist() and len(bad) == nulls.sum()
    assert (
        energies == people.score(table.select(["age", "kind", "ok"]).filter(pa.array(~nulls))).energy.tolist()
    )
    with pytest.raises(BadInput, match="rows.csv: row 0, column 'age' is 'x', not a number"):
        taken(people, Rows(pa.table({"kind": ["a"] * n, "ok": [True] * n, "age": ["x"] * n})))


def test_images_that_miss_pixels() -> None:
    pixels = np.random.default_rng(0).uniform(0, 16, (40, 4, 4))
    images = analytic_detector(gaussian([0] * 16, [1] * 16), _Flat(0, 16).fit(pixels), pixels)
    pixels[3, 1, 2] = np.nan
    pixels[7] = np.inf
    energies, kept, bad = taken(images, Rows(pixels[:9]))
    assert kept == [0, 1, 2, 4, 5, 6, 8] and [b.row for b in bad] == [3, 7]
    assert energies == images.energies(pixels[kept]).tolist() and "pixel" in bad[0].reason


class _Flat(ScaleImage):
    """Images as rows of 16 coordinates, for an energy that knows no images."""

    def transform(self, values: Any) -> np.ndarray:
        found = super().transform(values)
        return found.reshape(len(found), -1)
