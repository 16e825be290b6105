"""POST compose/score and compose/generate, against the library's own answers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ebm import artifact
from ebm.compose import Composition
from ebm.detector import Detector

SCORE, GENERATE = "/v1/compose/score", "/v1/compose/generate"
BOTH = [{"model": "blobs"}, {"model": "blobs", "version": "1", "weight": 0.5}]


@pytest.fixture(scope="module")
def blobs(models_dir: Path) -> list[Detector]:
    return [artifact.load(artifact.resolve(models_dir, "blobs", version)) for version in ("2", "1")]


@pytest.fixture
def rows(image: np.ndarray) -> np.ndarray:
    return np.stack([np.roll(image, k, axis=1) + k for k in range(5)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fpr": 0.3},
        {"fdr": 0.4},
        {"mode": "either", "temperature": 0.5},
        {"scale": "raw"},
    ],
)
def test_scores_are_the_librarys(client: Any, blobs: Any, rows: np.ndarray, options: dict[str, Any]) -> None:
    answer = client.post(SCORE, json={"terms": BOTH, "instances": rows.tolist(), **options})
    assert answer.status_code == 200, answer.text
    got = answer.json()
    rates = {k: v for k, v in options.items() if k in ("fpr", "fdr")}
    settings = {k: v for k, v in options.items() if k not in rates}
    want = Composition(blobs, [1.0, 0.5], **settings).score(rows, **rates)
    np.testing.assert_allclose(got["energy"], want.energy, rtol=1e-5)
    np.testing.assert_allclose(got["p_value"], want.p_value)
    assert got["anomaly_score"] == got["energy"]
    assert got["is_anomaly"] == want.is_anomaly.tolist() and got["rank"] == want.rank.tolist()
    assert (got["fpr"], got["fdr"], got["note"]) == (want.fpr, want.fdr, want.note)
    assert [(t["model"], t["version"], t["weight"]) for t in got["terms"]] == [
        ("blobs", "2", 1.0),
        ("blobs", "1", 0.5),
    ]
    for term, own in zip(got["terms"], want.terms, strict=True):
        np.testing.assert_allclose(term["energy"], own.energy, rtol=1e-5)
        np.testing.assert_allclose(term["p_value"], own.p_value)


def test_like_one_and_unlike_the_other_has_no_p_value(client: Any, rows: np.ndarray) -> None:
    terms = [{"model": "blobs"}, {"model": "blobs", "version": "1", "weight": -1}]
    got = client.post(SCORE, json={"terms": terms, "instances": rows.tolist()}).json()
    assert got["p_value"] is None and got["is_anomaly"] is None and "negative weight" in got["note"]
    assert sorted(got["rank"]) == [1, 2, 3, 4, 5]


def test_records_and_energies_beyond_float32(client: Any, person: dict[str, float]) -> None:
    body = {"terms": [{"model": "people"}], "records": [person, {**person, "age": 1e25}]}
    got = client.post(SCORE, json=body).json()
    assert got["energy"][1] is None and got["rank"][1] == 1
    assert got["non_finite"] == [{"row": 1, "field": "energy", "value": "Infinity"}]
    extra = {**body, "records": [{**person, "name": "x"}]}
    assert client.post(SCORE, json=extra).status_code == 422
    assert client.post(SCORE, json={**extra, "ignore_unknown": True}).status_code == 200


def test_each_terms_scores_count_in_drift_and_go_through_the_engine(serve: Any, rows: np.ndarray) -> None:
    client = serve()
    client.post(SCORE, json={"terms": BOTH, "instances": rows.tolist()})
    for version in ("1", "2"):
        assert client.get(f"/v1/models/blobs/versions/{version}/drift").json()["seen"] == 5


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"terms": []}, 422, "terms"),
        ({"terms": [{"model": "blobs"}] * 17}, 422, "terms"),
        ({"terms": [{"model": "nobody"}]}, 404, "nobody"),
        ({"terms": [{"model": "broken"}]}, 503, "broken"),
        ({"terms": [{"model": "blobs", "weight": 0}]}, 422, "not 0"),
        ({"terms": [{"model": "blobs", "wieght": 1}]}, 422, "wieght"),
        ({"terms": [{"model": "blobs", "weight": "1"}]}, 422, "terms.0.weight"),
        ({"terms": [{"model": "blobs"}, {"model": "people"}]}, 422, "pictures"),
        ({"terms": [{"model": "blobs", "weight": -1}], "mode": "either"}, 422, "negative"),
        ({"mode": "neither"}, 422, "mode"),
        ({"fpr": 0.1, "fdr": 0.1}, 422, "not both"),
        ({"temperature": 0}, 422, "temperature"),
        ({"instances": [[1, 2]]}, 422, "row 0"),
        ({"instances": [[[0.0] * 5] * 6] * 101}, 422, "101 is over the limit of 100"),
        ({"records": [{}]}, 422, "exactly one of"),
        ({"instances": None}, 422, "'instances' must be a list"),
    ],
)
def test_bad_requests_are_named(
    client: Any, rows: np.ndarray, change: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post(SCORE, json={"terms": BOTH, "instances": rows.tolist(), **change})
    assert answer.status_code == status and said in answer.json()["detail"], answer.text


def test_bodies_that_are_no_json(client: Any) -> None:
    for content in (b"", b"[]", b"{", b'{"terms": NaN}', b"[" * 5000):
        assert client.post(SCORE, content=content).status_code == 422
        assert client.post(GENERATE, content=content).status_code == 422
    assert client.post(SCORE, content=b"1", headers={"content-type": "text/csv"}).status_code == 415


@pytest.mark.parametrize("mode", ["product", "either"])
def test_samples_are_the_librarys(client: Any, blobs: Any, mode: str) -> None:
    body = {"terms": BOTH, "mode": mode, "n": 3, "seed": 7, "n_steps": 2, "keep_every": 4}
    answer = client.post(GENERATE, json=body)
    assert answer.status_code == 200, answer.text
    got = answer.json()
    want = Composition(blobs, [1.0, 0.5], mode=mode).generate(3, seed=7, n_steps=2, keep_every=4)
    np.testing.assert_allclose(got["samples"], want.samples, atol=1e-3)
    np.testing.assert_allclose(got["snapshots"], want.snapshots, atol=1e-3)
    assert np.shape(got["snapshots"]) == (2, 3, 6, 5) and got["seed"] == 7 and got["mode"] == mode
    assert got["terms"][1] == {"model": "blobs", "version": "1", "weight": 0.5}


def test_samples_as_npy_and_png(client: Any) -> None:
    body = {"terms": BOTH, "n": 3, "n_steps": 1, "keep_every": 3}
    npy = client.post(GENERATE, json=body, headers={"accept": "application/x-npy"})
    assert np.load(io.BytesIO(npy.content), allow_pickle=False).shape == (3, 3, 6, 5)
    assert npy.headers["x-model"] == "blobs blobs" and npy.headers["x-model-version"] == "2 1"
    csv = client.post(GENERATE, json=body, headers={"accept": "text/csv"})
    assert csv.status_code == 200 and len(csv.text.strip().splitlines()) == 4
    for keep in (3, 0):
        png = client.post(GENERATE, json={**body, "keep_every": keep}, headers={"accept": "image/png"})
        assert Image.open(io.BytesIO(png.content)).format == "PNG"
    assert client.post(GENERATE, json=body, headers={"accept": "text/html"}).status_code == 406


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n": 17}, "17 is over the limit of 16"),
        ({"n_steps": 101}, "506 is over the limit of 500"),
        ({"n_steps": 501}, "501 is over the limit of 500"),
        ({"n": 16, "n_steps": 10, "keep_every": 2}, "over the limit of 10000"),
        ({"terms": [{"model": "people"}]}, "cannot generate"),
        ({"terms": [{"model": "blobs", "weight": -1.0}]}, "positive weight"),
        ({"step_size": 0}, "step_size"),
        ({"fpr": 0.1}, "fpr"),
    ],
)
def test_bad_requests_for_samples_are_named(client: Any, change: dict[str, Any], said: str) -> None:
    answer = client.post(GENERATE, json={"terms": BOTH, "n": 2, "n_steps": 1, **change})
    assert answer.status_code == 422 and said in answer.json()["detail"], answer.text
