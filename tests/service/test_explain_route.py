"""POST explain, against the library's own answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from long_calls import NPY, PARQUET, PNG, WRITERS, encode_picture, picture

from ebm.heat_map import heat_picture
from service.binary import write_npy

URL = "/v1/models/people/explain"
ODD = {"age": 41.0, "income": 3100.0, "height": 2.6}


@pytest.fixture
def faulty(image: np.ndarray) -> np.ndarray:
    """(H, W), dark but for one pixel."""
    rows = np.full_like(image, 8.0)
    rows[4, 1] = 60
    return rows


def test_the_column_at_fault_comes_first(client: Any, detectors: Any, person: dict[str, float]) -> None:
    document = client.post(URL, json={"records": [ODD, person]}).json()
    want = detectors["people"].explain([list(ODD.values()), list(person.values())])
    assert document["columns"] == ["age", "income", "height"]
    assert document["level"] == pytest.approx(want.level)
    for i, row in enumerate(document["rows"]):
        assert row["energy"] == pytest.approx(want.energy[i]) and row["p_value"] == pytest.approx(
            want.p_value[i]
        )
        assert row["normal_energy"] == pytest.approx(want.normal_energy[i], rel=1e-5, abs=1e-5)
        np.testing.assert_allclose(row["normal_version"], want.normal_version[i], rtol=1e-5)
        total = sum(one["contribution"] for one in row["contributions"])
        assert total == pytest.approx(row["energy"] - row["normal_energy"], rel=1e-3, abs=1e-3)
        sizes = [one["contribution"] for one in row["contributions"]]
        assert sizes == sorted(sizes, reverse=True) and row["heat_map"] is None
    odd = document["rows"][0]
    assert odd["changed"] == ["height"] and odd["contributions"][0]["column"] == "height"
    assert odd["contributions"][0]["value"] == 2.6
    assert odd["contributions"][0]["normal_value"] == pytest.approx(odd["normal_version"][2])


def test_options(client: Any) -> None:
    odd = {"age": 90.0, "income": 9000.0, "height": 2.6}
    row = client.post(URL, json={"records": [odd], "top": 2, "sparse": False}).json()["rows"][0]
    assert len(row["contributions"]) == 2 and len(row["changed"]) == 3
    by_query = client.post(URL, params={"top": 1}, json={"records": [odd]}).json()["rows"][0]
    assert len(by_query["contributions"]) == 1
    for options in ({"top": 0}, {"sparse": "maybe"}, {"n": 1}):
        answer = client.post(URL, json={"records": [odd], **options})
        assert answer.status_code == 422 and next(iter(options)) in answer.json()["detail"]


def test_other_kinds_of_bodies(client: Any) -> None:
    want = client.post(URL, json={"records": [ODD]}).json()
    table = pa.table({name: [value] for name, value in ODD.items()})
    for kind in WRITERS:
        answer = client.post(URL, content=WRITERS[kind](table), headers={"content-type": kind})
        assert answer.json() == want, kind
    npy = client.post(URL, content=write_npy(np.array([[*ODD.values()]])), headers={"content-type": NPY})
    assert npy.json() == want


def test_rows_of_many_types(both: Any) -> None:
    record = {"age": 400.0, "city": "Bonn", "member": True, "since": "2024-01-20T12:00:00"}
    answer = both.post("/v1/models/mixed/explain", json={"records": [record, {**record, "age": None}]})
    assert answer.status_code == 200, answer.text
    first = answer.json()["rows"][0]["contributions"][0]
    assert first["column"] == "age" and first["value"] == 400 and first["normal_value"] < 100
    parquet = WRITERS[PARQUET](
        pa.table({"age": [400.0], "city": ["Bonn"], "member": [True], "since": [None]})
    )
    refused = both.post("/v1/models/mixed/explain", content=parquet, headers={"content-type": PARQUET})
    assert refused.status_code == 422 and "since" in refused.json()["detail"]


def test_a_picture_gets_a_heat_map(client: Any, detectors: Any, faulty: np.ndarray) -> None:
    url = "/v1/models/blobs/explain"
    document = client.post(url, json={"instances": [faulty.tolist()]}).json()
    row, want = document["rows"][0], detectors["blobs"].explain(faulty[None])
    heat = np.array(row["heat_map"])
    np.testing.assert_allclose(heat, want.heat_map[0], rtol=1e-3, atol=1e-3)
    assert heat.shape == (6, 5) and np.unravel_index(heat.argmax(), heat.shape) == (4, 1)
    assert heat.sum() == pytest.approx(row["energy"] - row["normal_energy"], rel=1e-3)
    assert row["contributions"] is None and row["changed"][4][1] is True
    assert np.shape(row["normal_version"]) == (6, 5) and row["normal_version"][4][1] < 20


def test_a_heat_map_as_a_picture(client: Any, detectors: Any, faulty: np.ndarray) -> None:
    url, headers = "/v1/models/blobs/explain", {"accept": PNG}
    answer = client.post(url, json={"instances": [faulty.tolist()]}, headers=headers)
    assert answer.headers["content-type"] == PNG and answer.headers["x-model"] == "blobs"
    found = picture(answer.content)
    want = heat_picture(detectors["blobs"].explain(faulty[None]), 0, 16)
    assert found.shape == want.shape == (6 * 42, 5 * 42, 3)
    np.testing.assert_allclose(found.astype(float), want, atol=2)
    red = found[..., 0].astype(int) - found[..., 2]
    assert np.unravel_index(red[::42, ::42].argmax(), (6, 5)) == (4, 1)
    several = client.post(url, json={"instances": [faulty.tolist()] * 3}, headers=headers)
    assert picture(several.content).shape == (2 * 127 + 1, 2 * 106 + 1, 3)
    pixels = np.clip(faulty / 16 * 255, 0, 255).astype(np.uint8)
    sent = client.post(url, content=encode_picture(pixels), headers={"content-type": PNG})
    assert sent.headers["content-type"] == "application/json"  # JSON unless a picture is asked for
    table = client.post(URL, json={"records": [ODD]}, headers=headers)
    assert table.status_code == 406


@pytest.mark.parametrize("method", ["residual", "gradient", "contributions"])
def test_the_source_of_a_map_is_asked_for(
    client: Any, detectors: Any, faulty: np.ndarray, method: Any
) -> None:
    url = "/v1/models/blobs/explain"
    body = {"instances": [faulty.tolist()], "method": method}
    row, want = (
        client.post(url, json=body).json()["rows"][0],
        detectors["blobs"].explain(faulty[None], method=method),
    )
    assert row["map_method"] == method
    np.testing.assert_allclose(row["anomaly_map"], want.anomaly_map[0], rtol=1e-3, atol=1e-3)
    if method == "contributions":
        assert row["anomaly_map"] == row["heat_map"]
    else:
        np.testing.assert_allclose(
            want.anomaly_map, detectors["blobs"].pixel_maps(faulty[None], method=method), rtol=1e-4
        )
    answer = client.post(url, json=body, headers={"accept": PNG})
    np.testing.assert_allclose(picture(answer.content).astype(float), heat_picture(want, 0, 16), atol=2)


def test_a_source_that_is_not_there(client: Any, faulty: np.ndarray) -> None:
    body = {"instances": [faulty.tolist()], "method": "local"}
    answer = client.post("/v1/models/blobs/explain", json=body)
    assert answer.status_code == 422 and "'local'; by residual, gradient" in answer.json()["detail"]
    answer = client.post(URL, json={"records": [ODD], "method": "residual"})
    assert answer.status_code == 422 and "has rows, not pictures" in answer.json()["detail"]
    answer = client.post(URL, json={"records": [ODD], "method": "magic"})
    assert answer.status_code == 422 and "method" in answer.json()["detail"]


def test_the_limit_of_rows_says_its_name(serve: Any) -> None:
    client = serve(max_explain_rows=2)
    answer = client.post(URL, json={"records": [ODD] * 3})
    assert answer.status_code == 422 and answer.json()["setting"] == "EBM_MAX_EXPLAIN_ROWS"


def test_a_row_too_far_away_is_named(client: Any) -> None:
    answer = client.post(URL, json={"records": [ODD, {**ODD, "age": 1e38}]})
    assert answer.status_code == 422
    assert answer.json()["row"] == 1 and answer.json()["column"] == "age"
