"""Scores as columns, beside frames; other answers as objects."""

from __future__ import annotations

import math
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ebm.client.scores import FIELDS, Scores, scores_of

DOCUMENT: dict[str, Any] = {
    "model": "m",
    "version": "1",
    "fpr": 0.05,
    "fdr": None,
    "energy": [1.5, None, None],
    "anomaly_score": [0.5, None, None],
    "p_value": [0.4, 0.01, None],
    "is_anomaly": [False, True, None],
    "rank": [2, 1, None],
    "non_finite": [
        {"row": 1, "field": "energy", "value": "Infinity"},
        {"row": 1, "field": "anomaly_score", "value": "Infinity"},
    ],
    "note": None,
}


@pytest.fixture
def scores() -> Scores:
    return scores_of(DOCUMENT)


def test_what_json_cannot_hold_is_put_back(scores: Scores) -> None:
    np.testing.assert_array_equal(scores.energy, [1.5, math.inf, math.nan])
    np.testing.assert_array_equal(scores.anomaly_score, [0.5, math.inf, math.nan])
    np.testing.assert_array_equal(scores.p_value, [0.4, 0.01, math.nan])
    assert scores.is_anomaly.tolist() == [False, True, False] and scores.is_anomaly.dtype == bool
    assert scores.rank.tolist() == [2, 1, 0]


def test_as_frames(scores: Scores) -> None:
    table = scores.to_arrow()
    assert table.column_names == list(FIELDS)
    assert table["energy"].to_pylist() == [1.5, math.inf, None]
    assert table["is_anomaly"].to_pylist() == [False, True, None]
    frame = scores.to_pandas()
    assert list(frame) == list(FIELDS) and frame["rank"].tolist() == [2, 1, 0]


COLUMN = {"flow": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame(COLUMN, index=["a", "b", "b"]), pl.DataFrame(COLUMN), pa.table(COLUMN)],
    ids=["pandas", "polars", "Arrow"],
)
def test_beside_the_frame_that_was_scored(scores: Scores, frame: Any) -> None:
    joined: Any = scores.join(frame)
    assert type(joined) is type(frame)
    assert list(joined.column_names if isinstance(joined, pa.Table) else joined.columns) == ["flow", *FIELDS]
    table = joined if isinstance(joined, pa.Table) else pa.table(joined)
    assert table["flow"].to_pylist() == COLUMN["flow"]
    assert [rank or 0 for rank in table["rank"].to_pylist()] == [2, 1, 0]
    assert table["energy"].to_pylist()[:2] == [1.5, math.inf]
    if isinstance(joined, pd.DataFrame):
        assert joined.index.tolist() == ["a", "b", "b"]


def test_a_frame_that_does_not_fit_is_refused(scores: Scores) -> None:
    with pytest.raises(ValueError, match="2 rows, 3 were scored"):
        scores.join(pd.DataFrame({"flow": [1, 2]}))
    with pytest.raises(ValueError, match="'rank' already"):
        scores.join(pl.DataFrame({"rank": [1, 2, 3]}))


def test_models_and_limits_are_objects_that_keep_what_they_do_not_know(call: Any) -> None:
    limits = {"max_rows": 5, "max_body_bytes": 7, "max_dreams": 9}
    found = call(lambda _: httpx.Response(200, json=limits), "limits")
    assert (found.max_rows, found.max_dreams) == (5, 9)
