"""POST denoise, against the library's own answer, in every media type."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from long_calls import JPEG, NPY, PNG, READERS, WRITERS, encode_picture, load, picture

from service.binary import write_npy

URL = "/v1/models/blobs/denoise"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sigma": 0.5},
        {"sigma": 0.5, "n_steps": 4},
        {"sigma": 0.5, "method": "langevin", "seed": 3},
        {"method": "langevin", "n_steps": 7},
        {"noise": "impulse"},
        {"noise": "impulse", "n_steps": 3},
    ],
)
def test_denoising_is_the_librarys(
    client: Any, detectors: Any, image: np.ndarray, options: dict[str, Any]
) -> None:
    rows = np.stack([image, image[::-1]])
    want = detectors["blobs"].denoise(rows, **options)
    by_json = client.post(URL, json={"instances": rows.tolist(), **options})
    np.testing.assert_allclose(by_json.json()["denoised"], want, rtol=1e-5, atol=1e-5)
    by_npy = client.post(URL, content=write_npy(rows), headers={"content-type": NPY}, params=options)
    assert by_npy.headers["content-type"] == NPY
    np.testing.assert_allclose(load(by_npy.content), want, rtol=1e-5, atol=1e-5)


def test_a_seed_decides_the_draws(client: Any, image: np.ndarray) -> None:
    body = {"instances": [image.tolist()], "method": "langevin", "sigma": 1.0}
    first, again, other = (client.post(URL, json={**body, "seed": s}).json()["denoised"] for s in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("kind", [PNG, JPEG])
def test_a_picture_comes_back_as_a_png(client: Any, detectors: Any, image: np.ndarray, kind: str) -> None:
    pixels = (image / 16 * 255).round().astype(np.uint8)
    content = encode_picture(pixels, kind.removeprefix("image/").upper())
    answer = client.post(f"{URL}?sigma=0.4", content=content, headers={"content-type": kind})
    want = detectors["blobs"].denoise(picture(content)[None] / 255 * 16, sigma=0.4)[0]
    assert answer.headers["content-type"] == PNG
    np.testing.assert_allclose(picture(answer.content), want / 16 * 255, atol=0.51)


def test_a_picture_of_another_size_is_refused_unless_scaling_is_asked_for(client: Any) -> None:
    content = encode_picture(np.full((60, 50, 4), 200, np.uint8))
    options = {"content": content, "headers": {"content-type": PNG}}
    refused = client.post(URL, **options)
    assert refused.status_code == 422 and "50 x 60, the model takes 5 x 6" in refused.json()["detail"]
    taken = client.post(f"{URL}?resize=true", **options)
    assert taken.status_code == 200 and picture(taken.content).shape == (6, 5)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_table_comes_back_in_its_own_kind(both: Any, kind: str) -> None:
    rows = pa.table({"member": [True, False], "age": [41.5, 900.0], "city": ["Bonn", "Rome"]})
    since = pa.array(["2024-01-20T12:00:00Z", "2024-01-02T00:00:00Z"])
    rows = rows.append_column("since", since.cast(pa.timestamp("s", "UTC")))
    url = "/v1/models/mixed/denoise"
    answer = both.post(url, content=WRITERS[kind](rows), headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].split(";")[0] == kind and answer.headers["x-model"] == "mixed"
    found = READERS[kind](answer.content)
    assert found.column_names == ["age", "city", "member", "since"] and found.num_rows == 2
    by_json = both.post(
        url, content=WRITERS[kind](rows), headers={"content-type": kind, "accept": "application/json"}
    )
    document = by_json.json()
    assert document["columns"] == found.column_names
    for j, row in enumerate(document["denoised"]):
        age, *rest = (column[j].as_py() for column in found.columns[:3])
        assert row[0] == pytest.approx(age, rel=1e-5) and row[1:3] == rest
    assert (
        both.post(url, content=WRITERS[kind](rows), headers={"content-type": kind, "accept": NPY}).status_code
        == 406
    )


def test_a_flat_table_of_pixels(client: Any, detectors: Any, image: np.ndarray) -> None:
    table = pa.table({f"x{j}": [value] for j, value in enumerate(image.ravel())})
    answer = client.post(URL, content=WRITERS["text/csv"](table), headers={"content-type": "text/csv"})
    found = READERS["text/csv"](answer.content)
    want = detectors["blobs"].denoise(image[None]).ravel()
    np.testing.assert_allclose([c[0].as_py() for c in found.columns], want, rtol=1e-5, atol=1e-5)


def test_requests_that_wait_together_get_each_its_own(serve: Any, detectors: Any) -> None:
    client = serve()
    rng = np.random.default_rng(0)
    bodies = [rng.uniform(0, 16, (1 + i % 3, 6, 5)) for i in range(12)]
    steps = [1 + i % 2 for i in range(12)]

    def ask(i: int) -> Any:
        return client.post(URL, json={"instances": bodies[i].tolist(), "sigma": 0.5, "n_steps": steps[i]})

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    for i, answer in enumerate(answers):
        want = detectors["blobs"].denoise(bodies[i], sigma=0.5, n_steps=steps[i])
        np.testing.assert_allclose(answer.json()["denoised"], want, rtol=1e-4, atol=1e-4)


def test_each_limit_says_its_name(client: Any, image: np.ndarray) -> None:
    for body, setting in (
        ({"instances": [image.tolist()] * 9}, "EBM_MAX_DENOISE_ROWS"),
        ({"instances": [image.tolist()], "n_steps": 501}, "EBM_MAX_STEPS"),
    ):
        answer = client.post(URL, json=body)
        assert answer.status_code == 422 and answer.json()["setting"] == setting


@pytest.mark.parametrize(
    "options, words",
    [
        ({"sigma": 0}, "sigma"),
        ({"sigma": 101}, "sigma"),
        ({"n_steps": 0}, "n_steps"),
        ({"method": "magic"}, "method"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"steps": 1}, "steps"),
    ],
)
def test_bad_options(client: Any, image: np.ndarray, options: dict[str, Any], words: str) -> None:
    answer = client.post(URL, json={"instances": [image.tolist()], **options})
    assert answer.status_code == 422 and words in answer.json()["detail"]


def test_what_a_model_cannot_do_is_said(client: Any) -> None:
    answer = client.post("/v1/models/people/denoise", json={})
    assert answer.status_code == 422
    assert "cannot denoise; it can explain, impute, score" in answer.json()["detail"]


def test_another_version(client: Any, image: np.ndarray) -> None:
    body = {"instances": [image.tolist()], "sigma": 0.5}
    first, second = (client.post(f"/v1/models/blobs/versions/{v}/denoise", json=body).json() for v in "12")
    assert (first["version"], second["version"]) == ("1", "2") and first["denoised"] != second["denoised"]
