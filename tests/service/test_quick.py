"""The short way for one row gives what the general way gives, byte by byte, and takes nothing it should not."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import quick

SCORE = "/v1/models/{}/score"
GENERAL = {"X-General": "1"}


@pytest.fixture(autouse=True)
def general_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header of the tests sends a request the general way."""
    monkeypatch.setitem(quick.USUAL, b"x-general", ())


def both(client: Any, model: str, body: bytes, **headers: str) -> tuple[Any, Any]:
    headers = {"Content-Type": "application/json", **headers}
    ask = {"content": body, "headers": headers}
    short = client.post(SCORE.format(model), **ask)
    general = client.post(SCORE.format(model), content=body, headers=headers | GENERAL)
    return short, general


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Rows that went the short way."""
    rows: list[Any] = []
    answer = quick.answer

    async def noted(request: Any, loaded: Any, row: Any) -> Any:
        rows.append(row)
        return await answer(request, loaded, row)

    monkeypatch.setattr(quick, "answer", noted)
    return rows


numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers(-(10**6), 10**6), st.just(1e30)
)
rates = st.sampled_from([{}, {"fpr": 0.05}, {"fdr": 0.2}, {"fpr": 0.0001}, {"fpr": 1e-9}, {"fdr": 0.0001}])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(row=st.lists(numbers, min_size=3, max_size=3), rate=rates)
def test_both_ways_give_the_same_bytes(client: Any, row: list[float], rate: dict[str, float]) -> None:
    short, general = both(client, "people", orjson.dumps({"instances": [row], **rate}))
    assert short.status_code == general.status_code
    if short.status_code == 200:
        assert short.content == general.content


def test_pictures_too(client: Any, image: np.ndarray, taken: list[Any]) -> None:
    short, general = both(client, "blobs", orjson.dumps({"instances": [image.ravel().tolist()]}))
    assert short.status_code == 200 and short.content == general.content
    assert len(taken) == 1 and taken[0].values.shape == (1, *image.shape)


UNUSUAL = {
    "two rows": b'{"instances": [[1, 2, 3], [1, 2, 3]]}',
    "wrong width": b'{"instances": [[1, 2]]}',
    "a text": b'{"instances": [[1, 2, "3"]]}',
    "a null": b'{"instances": [[1, 2, null]]}',
    "a boolean rate": b'{"instances": [[1, 2, 3]], "fpr": true}',
    "a rate of one": b'{"instances": [[1, 2, 3]], "fpr": 1.0}',
    "both rates": b'{"instances": [[1, 2, 3]], "fpr": 0.1, "fdr": 0.1}',
    "on_error": b'{"instances": [[1, 2, 3]], "on_error": "null"}',
    "an unknown key": b'{"instances": [[1, 2, 3]], "surprise": 1}',
    "records": b'{"records": [{"age": 1, "income": 2, "height": 3}]}',
    "NaN": b'{"instances": [[1, 2, NaN]]}',
    "a huge integer": b'{"instances": [[1, 2, 1' + b"0" * 80 + b"]]}",
    "a list": b"[[1, 2, 3]]",
    "nothing": b"",
    "no JSON": b"{",
    "deep": b'{"instances": [[[1], [2], [3]]]}',
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_the_unusual_goes_the_general_way(client: Any, taken: list[Any], name: str) -> None:
    short, general = both(client, "people", UNUSUAL[name])
    assert taken == []
    assert short.status_code == general.status_code
    told = [{k: v for k, v in orjson.loads(a.content).items() if k != "request_id"} for a in (short, general)]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "application/x-npy"},
        {"Content-Encoding": "gzip"},
        {"Content-Type": "application/json; charset=utf-8"},
    ],
)
def test_other_headers_go_the_general_way(client: Any, taken: list[Any], headers: dict[str, str]) -> None:
    short, general = both(client, "people", b'{"instances": [[41, 3100, 1.75]]}', **headers)
    assert taken == [] and short.status_code == general.status_code


def test_an_anomaly_is_counted(client: Any, taken: list[Any]) -> None:
    def counted() -> float:
        text = client.get("/metrics").text
        lines = [
            line for line in text.splitlines() if line.startswith('ebm_anomalous_rows_total{model="people"')
        ]
        return float(lines[0].split()[-1]) if lines else 0.0

    before = counted()
    for row in ([41, 3100, 1.75], [400, 31000, 17.5]):
        answer = client.post(SCORE.format("people"), json={"instances": [row]})
        assert answer.status_code == 200
    assert len(taken) == 2 and answer.json()["is_anomaly"] == [True]
    assert counted() == before + 1


def test_numbers_beyond_float32_are_named_as_on_the_general_way(client: Any, taken: list[Any]) -> None:
    short, general = both(client, "people", b'{"instances": [[1e17, 1e17, 1e17]]}')
    assert len(taken) == 1 and short.content == general.content
