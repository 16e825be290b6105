"""POST compare, against the library's own answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

URL = "/v1/models/blobs/compare"
PEOPLE = "/v1/models/people/compare"


@pytest.fixture
def pairs(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a = np.stack([image, image + 1, image[::-1]])
    return a, np.flip(a, 2) / 2


def test_the_answer_is_the_librarys(client: Any, detectors: Any, pairs: Any) -> None:
    a, b = pairs
    answer = client.post(URL, json={"a": a.tolist(), "b": b.tolist(), "n_points": 9})
    assert answer.status_code == 200, answer.text
    got, want = answer.json(), detectors["blobs"].compare(a, b, n_points=9)
    for field in ("log_ratio", "energy_a", "energy_b", "path_integral", "position", "path_energy"):
        np.testing.assert_allclose(got[field], getattr(want, field), rtol=1e-5, err_msg=field)
    np.testing.assert_allclose(
        np.subtract(got["path_integral"], got["log_ratio"]), got["quadrature_error"], atol=1e-6
    )
    assert (got["model"], got["version"], got["note"]) == ("blobs", "2", want.note)
    assert np.shape(got["path_energy"]) == (3, 9) and got["non_finite"] == []


def test_without_a_path_and_of_one_version(client: Any, pairs: Any) -> None:
    a, b = pairs
    body = {"a": a[:1].tolist(), "b": b.tolist(), "path": False}
    two, one = (client.post(f"/v1/models/blobs/versions/{v}/compare", json=body).json() for v in ("2", "1"))
    assert two["path_integral"] is None and two["path_energy"] is None
    assert len(two["log_ratio"]) == 3 and one["version"] == "1"
    assert not np.allclose(one["log_ratio"], two["log_ratio"])


def test_records_go_by_name(client: Any, person: dict[str, float]) -> None:
    turned = dict(reversed({**person, "age": 70.0}.items()))
    by_name = client.post(PEOPLE, json={"a": [person], "b": [turned]}).json()
    rows = [[41.0, 3100.0, 1.75]], [[70.0, 3100.0, 1.75]]
    assert by_name == client.post(PEOPLE, json={"a": rows[0], "b": rows[1]}).json()
    assert by_name["log_ratio"][0] > 0, "41 is the likelier age"


def test_energies_beyond_float32_are_named(client: Any) -> None:
    answer = client.post(PEOPLE, json={"a": [[1e25, 0, 0]], "b": [[40.0, 3000.0, 1.7]]})
    assert answer.status_code == 200, answer.text
    got = answer.json()
    assert got["energy_a"] == [None] and got["log_ratio"] == [None]
    assert {"row": 0, "field": "log_ratio", "value": "-Infinity"} in got["non_finite"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "'a' must be a list of rows"),
        ({"a": [[1, 2, 3]], "b": []}, "'b' must be a list of rows"),
        ({"a": [1, 2, 3], "b": [[1, 2, 3]]}, "another pair of brackets"),
        ({"a": [[1, 2, 3]], "b": [[1, 2]]}, "b: row 0 has 2 values"),
        ({"a": [[1, 2, 3]], "b": [[1, "x", 3]]}, "b: row 0, column 'income'"),
        ({"a": [{"age": 3}], "b": [[1, 2, 3]]}, "a: row 0: column 'income' is missing"),
        ({"a": [[1, 2, 3]] * 2, "b": [[1, 2, 3]] * 3}, "a has 2 rows and b has 3"),
        ({"a": [[1, 2, 3]], "b": [[1, 2, 3]], "n_points": 1}, "n_points"),
        ({"a": [[1, 2, 3]], "b": [[1, 2, 3]], "points": 3}, "points"),
        ({"a": [[1, 2, 3]] * 300, "b": [[1, 2, 3]]}, "300 is over the limit of 256"),
        ({"a": [[1, 2, 3]] * 100, "b": [[1, 2, 3]], "n_points": 101}, "10100 is over the limit of 10000"),
    ],
)
def test_bad_bodies_are_named(client: Any, body: dict[str, Any], said: str) -> None:
    answer = client.post(PEOPLE, json=body)
    assert answer.status_code == 422 and said in answer.json()["detail"], answer.text


def test_records_for_pictures_and_other_media_types(client: Any) -> None:
    answer = client.post(URL, json={"a": [{"x": 1}], "b": [{"x": 1}]})
    assert answer.status_code == 422 and "no column names" in answer.json()["detail"]
    csv = client.post(URL, content=b"1,2", headers={"content-type": "text/csv"})
    assert csv.status_code == 415
    assert client.post("/v1/models/nobody/compare", json={}).status_code == 404
