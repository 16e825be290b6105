"""POST generate, against the library's own answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from long_calls import NPY, PNG, READERS, load, picture

from service.binary import write_png

URL = "/v1/models/blobs/generate"


@pytest.mark.parametrize("keep_every", [0, 6])
def test_generation_is_the_librarys(client: Any, detectors: Any, keep_every: int) -> None:
    body = {"n": 3, "seed": 5, "n_steps": 2, "step_size": 0.1, "keep_every": keep_every}
    want = detectors["blobs"].generate(**body)
    document = client.post(URL, json=body).json()
    np.testing.assert_allclose(document["samples"], want.samples, rtol=1e-5, atol=1e-5)
    if keep_every:
        np.testing.assert_allclose(document["snapshots"], want.snapshots, rtol=1e-5, atol=1e-5)
        everything = np.concatenate([want.snapshots, want.samples[None]])
    else:
        assert document["snapshots"] is None
        everything = want.samples
    by_npy = client.post(URL, json=body, headers={"accept": NPY})
    np.testing.assert_allclose(load(by_npy.content), everything, rtol=1e-5, atol=1e-5)


def test_diagnostics_where_asked_for(client: Any, detectors: Any) -> None:
    body = {"n": 3, "seed": 5, "diagnose": True}
    found = client.post(URL, json=body).json()["diagnostics"]
    want = detectors["blobs"].generate(**body).diagnostics
    assert found.keys() == want.keys() and {k for k, v in found.items() if v is None} == {"acceptance"} | {
        k for k, v in want.items() if v is None
    }
    assert found["n_chains"] == 3 and found["energy_mean"] == pytest.approx(want["energy_mean"], rel=1e-4)
    assert "diagnostics" not in client.post(URL, json={"n": 3}).json()


def test_a_seed_decides_the_samples_and_query_options_count(client: Any) -> None:
    first, again, other = (
        client.post(URL, params={"n": 2, "seed": seed}).json()["samples"] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_grid_has_a_gap_between_samples_and_a_line_a_snapshot(client: Any) -> None:
    grid = picture(client.post(URL, json={"n": 5}, headers={"accept": PNG}).content)
    assert grid.shape == (2 * 31 + 1, 3 * 26 + 1)  # five of 6x5 enlarged five times, three a line
    samples = np.array(client.post(URL, json={"n": 5}).json()["samples"])
    np.testing.assert_allclose(grid[32:62:5, 27:52:5], samples[4] / 16 * 255, atol=0.51)
    film = client.post(URL, json={"n": 2, "keep_every": 5, "n_steps": 2}, headers={"accept": PNG})
    assert picture(film.content).shape == (3 * 31 + 1, 2 * 26 + 1)


@pytest.mark.parametrize("kind", READERS)
def test_samples_as_a_table(both: Any, kind: str) -> None:
    answer = both.post("/v1/models/mixed/generate", json={"n": 3}, headers={"accept": kind})
    assert answer.status_code == 200, answer.text
    table = READERS[kind](answer.content)
    assert table.column_names == ["age", "city", "member", "since"] and table.num_rows == 3


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
    answer = client.post(URL, json=body)
    assert answer.status_code == 422 and answer.json()["setting"] == setting
    streamed = client.post(URL, json=body, headers={"accept": "text/event-stream"})
    assert streamed.status_code == 422 and streamed.json()["setting"] == setting


def test_what_a_model_cannot_do_is_said(client: Any) -> None:
    answer = client.post("/v1/models/people/generate", json={})
    assert answer.status_code == 422
    assert "cannot generate; it can explain, impute, score" in answer.json()["detail"]


@pytest.mark.parametrize("how", [{"json": {"class": 3}}, {"params": {"class": "cat"}}])
def test_a_class_needs_a_joint_model(client: Any, how: dict[str, Any]) -> None:
    answer = client.post(URL, **how)
    assert answer.status_code == 422 and answer.json()["type"].endswith("unsupported")
    assert "E(x)" in answer.json()["detail"]


def test_chains_that_leave_the_finite_numbers_are_the_requests_fault(client: Any) -> None:
    answer = client.post(URL, json={"step_size": 1e30, "n": 1})
    assert answer.status_code == 422 and "step_size" in answer.json()["detail"]


def test_a_deadline_ends_a_long_call(serve: Callable[..., Any]) -> None:
    client = serve(max_steps=10**9)
    answer = client.post(URL, json={"n_steps": 10**7}, headers={"x-timeout-seconds": "0.05"})
    assert answer.status_code == 504 and answer.json()["type"].endswith("deadline-passed")
    assert client.post(URL, json={"n": 1}).status_code == 200


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_timeout_that_is_no_time(client: Any, seconds: str) -> None:
    answer = client.post(URL, json={"n": 1}, headers={"x-timeout-seconds": seconds})
    assert answer.status_code == 422 and "X-Timeout-Seconds" in answer.json()["detail"]


def test_pictures_keep_colour() -> None:
    schema = {"low": 0.0, "high": 1.0}
    colour = np.zeros((1, 2, 3, 3))
    colour[0, 0, 1] = (1, 0.5, 0)
    assert picture(write_png(colour, schema))[0, 1].tolist() == [255, 128, 0]
