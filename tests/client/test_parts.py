"""Large inputs go in parts; what comes back is as if they had not."""

from __future__ import annotations

import io
from typing import Any

import httpx
import numpy as np
import orjson
import pyarrow as pa
import pytest

from ebm.calibration import benjamini_hochberg
from ebm.client import BadRequest, Scores

N_CALIBRATION = 999
P_VALUES = np.random.default_rng(0).uniform(0.01, 1, 100).round(3)
P_VALUES[[7, 35, 50, 70, 93]] = 0.002


class Server:
    """Scores rows [i] as row i of `P_VALUES`, at most `max_rows` at once; counts what it was asked."""

    def __init__(self, max_rows: int = 30, max_body_bytes: int = 10**6):
        self.limits = {"max_rows": max_rows, "max_body_bytes": max_body_bytes, "max_denoise_rows": 8}
        self.limits["max_explain_rows"] = 16
        self.sizes: list[int] = []
        self.paths: list[str] = []
        self.params: list[dict[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v1/limits":
            return httpx.Response(200, json=self.limits)
        if request.method == "GET":
            return httpx.Response(200, json={"n_calibration": N_CALIBRATION})
        assert len(request.content) <= self.limits["max_body_bytes"]
        rows = read(request)
        self.sizes.append(len(rows))
        self.paths.append(path)
        self.params.append(dict(request.url.params))
        if path.endswith("denoise"):
            stream = io.BytesIO()
            np.save(stream, np.array(rows) + 1)
            return httpx.Response(200, content=stream.getvalue(), headers={"X-Model-Version": "3"})
        if path.endswith("classify"):
            return httpx.Response(200, json=classified([int(row[0]) for row in rows]))
        if path.endswith("explain"):
            return httpx.Response(200, json=explained([int(row[0]) for row in rows]))
        wrong = [i for i, row in enumerate(rows) if row[0] < 0]
        if wrong:
            document = {"status": 422, "detail": f"row {wrong[0]}, column 0: negative", "row": wrong[0]}
            return httpx.Response(422, json=document)
        p = P_VALUES[[int(row[0]) for row in rows]]
        return httpx.Response(200, json=answer(p))


def answer(p: np.ndarray) -> dict[str, Any]:
    return {
        "model": "m",
        "version": "3",
        "fpr": 0.05,
        "fdr": None,
        "energy": p.tolist(),
        "anomaly_score": (-p).tolist(),
        "p_value": p.tolist(),
        "is_anomaly": (p <= 0.05).tolist(),
        "rank": (1 + (p[:, None] > p[None, :]).sum(1)).tolist(),
        "non_finite": [],
        "note": None,
    }


def classified(rows: list[int]) -> dict[str, Any]:
    return {
        "model": "m",
        "version": "3",
        "classes": ["even", "odd"],
        "label": [["even", "odd"][i % 2] for i in rows],
        "probabilities": [[1.0 - i % 2, i % 2] for i in rows],
        "energy": [None if i == 70 else i for i in rows],
        "p_value": [0.5 for _ in rows],
        "non_finite": [{"row": rows.index(70), "field": "energy", "value": "Infinity"}] if 70 in rows else [],
    }


def explained(rows: list[int]) -> dict[str, Any]:
    row = {"p_value": 1, "normal_energy": 0, "contributions": [], "heat_map": None, "changed": []}
    found = [{**row, "energy": i, "normal_version": [i]} for i in rows]
    return {"model": "m", "version": "3", "columns": None, "level": 0.5, "rows": found}


def read(request: httpx.Request) -> Any:
    media = request.headers["content-type"]
    if media == "application/x-npy":
        return np.load(io.BytesIO(request.content), allow_pickle=False)
    if media == "application/vnd.apache.arrow.stream":
        table = pa.ipc.open_stream(request.content).read_all()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    document = orjson.loads(request.content)
    return (
        document["instances"] if "instances" in document else [[*row.values()] for row in document["records"]]
    )


FORMS = {
    "lists": [[i] for i in range(100)],
    "records": [{"i": i} for i in range(100)],
    "array": np.arange(100.0)[:, None],
    "objects": np.arange(100.0)[:, None].astype(object),
    "Arrow": pa.table({"i": range(100)}),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_go_in_parts_of_what_the_server_takes(call: Any, form: str) -> None:
    server = Server(max_rows=30)
    scores: Scores = call(server, "score", "m", FORMS[form])
    assert server.sizes == [30, 30, 30, 10]
    np.testing.assert_array_equal(scores.p_value, P_VALUES)
    whole = answer(P_VALUES)
    assert scores.rank.tolist() == whole["rank"]
    assert scores.is_anomaly.tolist() == whole["is_anomaly"]
    assert (scores.model, scores.version, scores.fpr, scores.fdr, len(scores)) == ("m", "3", 0.05, None, 100)


def test_false_discoveries_are_counted_over_all_parts(call: Any) -> None:
    server = Server(max_rows=30)
    scores: Scores = call(server, "score", "m", FORMS["array"], fdr=0.05)
    expected = benjamini_hochberg(P_VALUES, 0.05)
    assert 0 < expected.sum() < 100
    assert scores.is_anomaly.tolist() == expected.tolist()
    assert (scores.fpr, scores.fdr) == (None, 0.05)
    # 100 rows at 1/1000, the smallest p-value: two anomalies at least.
    assert scores.note is not None and "over 100 rows" in scores.note
    part_by_part = np.concatenate([benjamini_hochberg(P_VALUES[i : i + 30], 0.05) for i in (0, 30, 60, 90)])
    assert part_by_part.tolist() != expected.tolist(), "this test could not tell"


def test_all_parts_go_to_the_version_that_answered_the_first(call: Any) -> None:
    server = Server(max_rows=40)
    call(server, "score", "a/b", FORMS["array"])
    assert server.paths == ["/v1/models/a/b/score", *["/v1/models/a/b/versions/3/score"] * 2]
    assert call.sent[1].url.raw_path == b"/v1/models/a%2Fb/score"


def test_a_part_is_halved_until_its_bytes_fit(call: Any) -> None:
    server = Server(max_rows=1000, max_body_bytes=400)
    scores: Scores = call(server, "score", "m", FORMS["array"])
    assert server.sizes == [25, 25, 25, 25]
    np.testing.assert_array_equal(scores.p_value, P_VALUES)


def test_the_row_at_fault_is_named_as_the_caller_counts(call: Any) -> None:
    rows = [[i] for i in range(100)]
    rows[64] = [-1]
    with pytest.raises(BadRequest, match=r"^row 64, column 0") as caught:
        call(Server(max_rows=30), "score", "m", rows)
    assert caught.value.row == 64


def test_few_rows_go_without_asking_for_the_limits(call: Any) -> None:
    server = Server()
    call(server, "score", "m", FORMS["lists"][:5], fpr=0.01, on_error="null")
    assert [request.url.path for request in call.sent] == ["/v1/models/m/score"]
    assert server.params == [{"fpr": "0.01", "on_error": "null"}]


def test_denoising_goes_in_parts_of_its_own_limit(call: Any) -> None:
    server = Server()
    clean = call(server, "denoise", "m", FORMS["array"], sigma=0.5)
    assert server.sizes == [8] * 12 + [4] and server.params[0] == {"sigma": "0.5"}
    np.testing.assert_array_equal(clean, FORMS["array"] + 1)


def test_classes_of_all_parts_are_joined(call: Any) -> None:
    server = Server(max_rows=30)
    found = call(server, "classify", "m", FORMS["lists"])
    assert server.sizes == [30, 30, 30, 10]
    assert found.label[:3] == ["even", "odd", "even"] and found.probabilities.shape == (100, 2)
    assert np.isinf(found.energy[70]) and found.energy[99] == 99


def test_explanations_of_all_parts_are_joined(call: Any) -> None:
    server = Server()
    found = call(server, "explain", "m", FORMS["lists"], top=2)
    assert server.sizes == [16] * 6 + [4] and server.params[0] == {"top": "2"}
    assert [row.energy for row in found.rows] == list(range(100))


def test_rates_exclude_each_other(call: Any) -> None:
    with pytest.raises(ValueError, match="not both"):
        call(Server(), "score", "m", [[1]], fpr=0.1, fdr=0.1)
    assert call.sent == []


@pytest.mark.parametrize("rows", [5, "rows", {"a": [1]}, None, np.float64(3), [b"\x89PNG", [1, 2]]])
def test_what_cannot_be_sent_is_a_type_error(call: Any, rows: Any) -> None:
    with pytest.raises(TypeError, match="cannot"):
        call(Server(), "score", "m", rows)
    assert call.sent == []
