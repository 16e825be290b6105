"""POST score, against the library's own answer."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.app import create_app
from service.binary import write_npy

NPY = {"content-type": "application/x-npy"}


def rows_of(image: np.ndarray, n: int = 5) -> np.ndarray:
    return np.stack([np.roll(image, k, axis=1) + k for k in range(n)])


@pytest.mark.parametrize("rates", [{}, {"fpr": 0.3}, {"fdr": 0.4}])
def test_the_answer_is_the_librarys(
    client: Any, detectors: Any, image: np.ndarray, rates: dict[str, float]
) -> None:
    rows = rows_of(image)
    answer = client.post("/v1/models/blobs/score", json={"instances": rows.tolist(), **rates}).json()
    want = detectors["blobs"].score(rows, **rates)
    for field in ("energy", "anomaly_score", "p_value", "is_anomaly", "rank"):
        np.testing.assert_allclose(answer[field], getattr(want, field), rtol=1e-5, err_msg=field)
    assert answer["model"] == "blobs" and answer["version"] == "2"
    assert answer["higher_is_more_anomalous"] is True and answer["non_finite"] == []
    assert (answer["fpr"], answer["fdr"], answer["note"]) == (want.fpr, want.fdr, want.note)


@pytest.mark.parametrize("shape", [(-1, 6, 5), (-1, 6, 5, 1), (-1, 30)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i2"])
def test_npy_gives_what_json_gives(
    client: Any, image: np.ndarray, shape: tuple[int, ...], order: str, dtype: str
) -> None:
    rows = rows_of(image).round().reshape(shape)
    stream = io.BytesIO()
    np.save(stream, np.asarray(rows, dtype=dtype, order=order))
    url = "/v1/models/blobs/score"
    by_npy = client.post(url, content=stream.getvalue(), headers=NPY, params={"fpr": 0.25})
    by_json = client.post(url, json={"instances": rows.tolist(), "fpr": 0.25})
    assert by_npy.status_code == 200 and by_npy.json() == by_json.json()


def test_records_are_read_by_name_not_by_order(client: Any, person: dict[str, float]) -> None:
    turned = dict(reversed(person.items()))
    answers = [
        client.post("/v1/models/people/score", json=body).json()
        for body in (
            {"records": [person]},
            {"records": [turned]},
            {"instances": [[person["age"], person["income"], person["height"]]]},
        )
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["energy"][0] is not None


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_is_mapped_to_the_models_range(client: Any, detectors: Any, kind: str) -> None:
    pixels = np.full((6, 5), 128, dtype=np.uint8)  # even, so that JPEG keeps it
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    headers = {"content-type": f"image/{kind.lower()}"}
    answer = client.post("/v1/models/blobs/score", content=stream.getvalue(), headers=headers)
    want = detectors["blobs"].energies(pixels[None] / 255 * 16)
    np.testing.assert_allclose(answer.json()["energy"], want, rtol=1e-5)


def test_an_answer_as_npy_has_a_named_column_a_field(client: Any, detectors: Any, image: np.ndarray) -> None:
    rows = rows_of(image)
    answer = client.post(
        "/v1/models/blobs/score", content=write_npy(rows), headers=NPY | {"accept": "application/x-npy"}
    )
    table = np.load(io.BytesIO(answer.content), allow_pickle=False)
    want = detectors["blobs"].score(rows)
    assert table.dtype.names == ("energy", "anomaly_score", "p_value", "is_anomaly", "rank")
    np.testing.assert_allclose(table["energy"], want.energy, rtol=1e-5)
    assert answer.headers["x-model"] == "blobs" and answer.headers["x-model-version"] == "2"


def test_an_infinite_energy_is_named(client: Any) -> None:
    """float32 holds the row, but not the square of its distance to the data."""
    answer = client.post("/v1/models/people/score", json={"instances": [[41, 3100, 1.75], [41, 1e30, 1.75]]})
    document = answer.json()
    assert answer.status_code == 200
    assert document["energy"][0] is not None and document["energy"][1] is None
    assert {"row": 1, "field": "energy", "value": "Infinity"} in document["non_finite"]
    assert document["is_anomaly"][1] is True and document["rank"] == [2, 1]


def test_a_rate_finer_than_the_calibration_resolves_is_said(client: Any, image: np.ndarray) -> None:
    document = {"instances": [image.tolist()], "fpr": 0.001}
    note = client.post("/v1/models/blobs/score", json=document).json()["note"]
    assert "no row can be flagged" in note


def test_the_app_is_made_without_loading_anything(models_dir: Any) -> None:
    from service.settings import Settings

    app = create_app(Settings(models_dir=models_dir))
    assert not app.services.registry.loaded and not app.services.engine.accepting
