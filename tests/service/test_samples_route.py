"""POST denoise and generate, against the library's own answer."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.binary import write_npy, write_png

NPY, PNG = "application/x-npy", "image/png"


def load(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content), allow_pickle=False)


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("options", [{}, {"sigma": 0.5}, {"sigma": 0.5, "n_steps": 4}])
def test_denoising_is_the_librarys(
    client: Any, detectors: Any, image: np.ndarray, options: dict[str, Any]
) -> None:
    rows = np.stack([image, image[::-1]])
    want = detectors["blobs"].denoise(rows, **options)
    url = "/v1/models/blobs/denoise"
    by_json = client.post(url, json={"instances": rows.tolist(), **options})
    np.testing.assert_allclose(by_json.json()["denoised"], want, rtol=1e-5, atol=1e-5)
    by_npy = client.post(url, content=write_npy(rows), headers={"content-type": NPY}, params=options)
    assert by_npy.headers["content-type"] == NPY
    np.testing.assert_allclose(load(by_npy.content), want, rtol=1e-5, atol=1e-5)


def test_a_picture_comes_back_as_a_picture(client: Any, detectors: Any, image: np.ndarray) -> None:
    pixels = (image / 16 * 255).round().astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    url = "/v1/models/blobs/denoise?sigma=0.4"
    answer = client.post(url, content=stream.getvalue(), headers={"content-type": PNG})
    want = detectors["blobs"].denoise(pixels[None] / 255 * 16, sigma=0.4)[0]
    assert answer.headers["content-type"] == PNG
    np.testing.assert_allclose(picture(answer.content), want / 16 * 255, atol=0.51)


def test_a_picture_of_another_size_is_refused_unless_scaling_is_asked_for(client: Any) -> None:
    stream = io.BytesIO()
    Image.new("RGBA", (50, 60), (200, 100, 50, 255)).save(stream, "PNG")
    options = {"content": stream.getvalue(), "headers": {"content-type": PNG}}
    refused = client.post("/v1/models/blobs/denoise", **options)
    assert refused.status_code == 422 and "50 x 60, the model takes 5 x 6" in refused.json()["detail"]
    taken = client.post("/v1/models/blobs/denoise?resize=true", **options)
    assert taken.status_code == 200 and picture(taken.content).shape == (6, 5)


@pytest.mark.parametrize("keep_every", [0, 6])
def test_generation_is_the_librarys(client: Any, detectors: Any, keep_every: int) -> None:
    body = {"n": 3, "seed": 5, "n_steps": 2, "step_size": 0.1, "keep_every": keep_every}
    url = "/v1/models/blobs/generate"
    want = detectors["blobs"].generate(**body)
    document = client.post(url, json=body).json()
    np.testing.assert_allclose(document["samples"], want.samples, rtol=1e-5, atol=1e-5)
    if keep_every:
        np.testing.assert_allclose(document["snapshots"], want.snapshots, rtol=1e-5, atol=1e-5)
        everything = np.concatenate([want.snapshots, want.samples[None]])
    else:
        assert document["snapshots"] is None
        everything = want.samples
    by_npy = client.post(url, json=body, headers={"accept": NPY})
    np.testing.assert_allclose(load(by_npy.content), everything, rtol=1e-5, atol=1e-5)


def test_a_seed_decides_the_samples_and_query_options_count(client: Any) -> None:
    url = "/v1/models/blobs/generate"
    first, again, other = (
        client.post(url, params={"n": 2, "seed": seed}).json()["samples"] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_grid_has_a_gap_between_samples_and_a_line_a_snapshot(client: Any) -> None:
    url = "/v1/models/blobs/generate"
    grid = picture(client.post(url, json={"n": 5}, headers={"accept": PNG}).content)
    assert grid.shape == (2 * 31 + 1, 3 * 26 + 1)  # five of 6x5 enlarged five times, three a line
    samples = np.array(client.post(url, json={"n": 5}).json()["samples"])
    np.testing.assert_allclose(grid[32:62:5, 27:52:5], samples[4] / 16 * 255, atol=0.51)
    film = client.post(url, json={"n": 2, "keep_every": 5, "n_steps": 2}, headers={"accept": PNG})
    assert picture(film.content).shape == (3 * 31 + 1, 2 * 26 + 1)


@pytest.mark.parametrize(
    "body, setting",
    [
        ({"n": 17}, "EBM_MAX_SAMPLES"),
        ({"n_steps": 501}, "EBM_MAX_STEPS"),
        ({"n_steps": 400}, "EBM_MAX_STEPS"),  # of each of five levels
        ({"n": 16, "n_steps": 20, "keep_every": 1}, "EBM_MAX_VALUES"),
    ],
)
def test_each_limit_says_its_name(client: Any, body: dict[str, int], setting: str) -> None:
    answer = client.post("/v1/models/blobs/generate", json=body)
    assert answer.status_code == 422 and answer.json()["setting"] == setting


def test_denoise_has_its_own_limit_of_rows(client: Any, image: np.ndarray) -> None:
    answer = client.post("/v1/models/blobs/denoise", json={"instances": [image.tolist()] * 9})
    assert answer.status_code == 422 and answer.json()["setting"] == "EBM_MAX_DENOISE_ROWS"


@pytest.mark.parametrize("call", ["denoise", "generate"])
def test_what_a_model_cannot_do_is_said(client: Any, call: str) -> None:
    answer = client.post(f"/v1/models/people/{call}", json={})
    assert answer.status_code == 422
    assert f"cannot {call}; it can explain, impute, score" in answer.json()["detail"]


def test_chains_that_leave_the_finite_numbers_are_the_requests_fault(client: Any) -> None:
    answer = client.post("/v1/models/blobs/generate", json={"step_size": 1e30, "n": 1})
    assert answer.status_code == 422 and "step_size" in answer.json()["detail"]


def test_a_deadline_ends_a_long_call(serve: Callable[..., Any]) -> None:
    client = serve(max_steps=10**9)
    answer = client.post(
        "/v1/models/blobs/generate", json={"n_steps": 10**7}, headers={"x-timeout-seconds": "0.05"}
    )
    assert answer.status_code == 504 and answer.json()["type"].endswith("deadline-passed")
    assert client.post("/v1/models/blobs/generate", json={"n": 1}).status_code == 200


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_timeout_that_is_no_time(client: Any, seconds: str) -> None:
    answer = client.post("/v1/models/blobs/generate", json={"n": 1}, headers={"x-timeout-seconds": seconds})
    assert answer.status_code == 422 and "X-Timeout-Seconds" in answer.json()["detail"]


def test_pictures_keep_colour() -> None:
    schema = {"low": 0.0, "high": 1.0}
    colour = np.zeros((1, 2, 3, 3))
    colour[0, 0, 1] = (1, 0.5, 0)
    assert picture(write_png(colour, schema))[0, 1].tolist() == [255, 128, 0]
