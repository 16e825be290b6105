"""Where rows end: against a plain state machine, and against Arrow's parser, on text made to confuse."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebm.data.streams import csv_records
from ebm.data.streams.csv_records import Records, record_ends
from ebm.errors import BadInput

TEXTS = st.lists(st.sampled_from(list('a",\r\n') + ['""', '"a"', "\r\n", "aa"]), max_size=30).map("".join)


def plain(text: str) -> tuple[list[tuple[int, int]], bool]:
    """(start, end) of each row that is not blank, and whether the text ends within quotes; a character at a time."""
    rows, start, at, state = [], 0, 0, "begin"
    while at < len(text):
        now, following = text[at], text[at + 1 : at + 2]
        if state == "quoted":
            if now == '"' and following == '"':
                at += 1
            elif now == '"':
                state = "cell"
        elif now == '"' and state == "begin":
            state = "quoted"
        elif now == ",":
            state = "begin"
        elif now in "\r\n":
            end = at + (2 if now + following == "\r\n" else 1)
            if at > start:
                rows.append((start, end))
            start, at, state = end, end - 1, "begin"
        else:
            state = "cell"
        at += 1
    if state != "quoted" and start < len(text):
        rows.append((start, len(text)))
    return rows, state == "quoted"


def rows_of(text: bytes, take: int, size: int, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    monkeypatch.setattr(csv_records, "BYTES", size)
    records = Records(io.BytesIO(text), 0, 0, "rows.csv")
    found: list[bytes] = []
    while (piece := records.take(take)) is not None:
        data, ends = piece
        found += [data[start:end] for start, end in zip(*ends, strict=True)]
        assert (
            records.row == len(found) and text[records.offset - len(found[-1]) : records.offset] == found[-1]
        )
    return found


@given(TEXTS)
@settings(max_examples=400, deadline=None, derandomize=True)
def test_rows_are_those_of_a_plain_reading(text: str) -> None:
    expected, _ = plain(text)
    got = record_ends(text.encode(), last=True)
    assert list(zip(got.starts.tolist(), got.ends.tolist(), strict=True)) == expected


@given(TEXTS, st.integers(1, 3), st.integers(1, 9))
@settings(max_examples=250, deadline=None, derandomize=True)
def test_rows_do_not_depend_on_how_much_is_read(text: str, take: int, size: int) -> None:
    expected, is_open = plain(text)
    with pytest.MonkeyPatch.context() as patch:
        try:
            got = rows_of(text.encode(), take, size, patch)
            assert not is_open
        except BadInput as error:
            assert is_open and "a quote is not closed" in str(error) and error.row == len(expected)
            return
    assert got == [text[start:end].encode() for start, end in expected]


@given(TEXTS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_arrow_sees_the_same_rows(text: str) -> None:
    """Each row alone, and all together: Arrow counts as many."""
    expected, is_open = plain(text)
    if is_open:
        return
    bad: list[Any] = []

    def on_ragged(row: Any) -> str:
        bad.append(row)
        return "skip"

    table = pacsv.read_csv(
        pa.BufferReader(text.encode() + b"\n"),
        read_options=pacsv.ReadOptions(column_names=["a", "b"], use_threads=False),
        parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=on_ragged),
    )
    assert table.num_rows + len(bad) == len(expected)


def test_a_row_longer_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_records, "MAX_RECORD", 1000)
    with pytest.raises(BadInput, match="row 1 is longer than") as caught:
        rows_of(b"a\n" + b'"' + b"\n" * 5000 + b'"\nb\n', 1, 16, monkeypatch)
    assert caught.value.row == 1


def test_blank_lines_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_records, "MAX_RECORD", 1000)
    assert rows_of(b"\r\n" * 5000 + b"a\n" + b"\n" * 5000 + b"b", 1, 16, monkeypatch) == [b"a\n", b"b"]


def test_line_ends_in_quotes_cost_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their places are looked up a piece at a time."""
    seen: list[int] = []
    plain_search = np.flatnonzero

    def search(found: np.ndarray) -> np.ndarray:
        seen.append(len(found))
        return plain_search(found)

    monkeypatch.setattr(csv_records, "BYTES", 100)
    monkeypatch.setattr(np, "flatnonzero", search)
    assert len(record_ends(b'"' + b"\n" * 1000 + b'"\n', last=True).ends) == 1
    assert max(seen) <= 100
