"""POST impute, against the library's own answer, in every media type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from long_calls import JPEG, NPY, PNG, READERS, WRITERS, encode_picture, load, picture

from service.binary import write_npy

URL, IMAGES = "/v1/models/people/impute", "/v1/models/blobs/impute"
GAPPY = [{"age": 41.0, "income": None, "height": 1.75}, {"age": None, "income": 3100.0, "height": None}]


def rows_of(records: list[dict[str, Any]]) -> np.ndarray:
    return np.array([[np.nan if v is None else v for v in record.values()] for record in records])


@pytest.mark.parametrize("options", [{}, {"n_draws": 3, "seed": 7, "keep_draws": True}, {"n_draws": 1}])
def test_nulls_are_filled_as_the_library_does(client: Any, detectors: Any, options: dict[str, Any]) -> None:
    want = detectors["people"].impute(rows_of(GAPPY), **options)
    document = client.post(URL, json={"records": GAPPY, **options}).json()
    np.testing.assert_allclose(document["filled"], want.rows, rtol=1e-5)
    spread = np.array(document["spread"], dtype=float)
    np.testing.assert_allclose(spread, want.spread, rtol=1e-4)
    assert document["n_missing"] == 3 and document["columns"] == ["age", "income", "height"]
    assert document["acceptance"] == pytest.approx(want.acceptance)
    if options.get("keep_draws"):
        np.testing.assert_allclose(document["draws"], want.draws, rtol=1e-5)
    else:
        assert document["draws"] is None
    lists = [list(record.values()) for record in GAPPY]
    assert client.post(URL, json={"instances": lists, **options}).json() == document


def test_npy_with_nan(client: Any, detectors: Any) -> None:
    rows = rows_of(GAPPY)
    headers = {"content-type": NPY}
    answer = client.post(URL, content=write_npy(rows), headers=headers, params={"n_draws": 2})
    want = detectors["people"].impute(rows, n_draws=2, keep_draws=True)
    np.testing.assert_allclose(load(answer.content), want.rows, rtol=1e-5)
    params = {"n_draws": 2, "keep_draws": "true"}
    whole = load(client.post(URL, content=write_npy(rows), headers=headers, params=params).content)
    np.testing.assert_allclose(whole, np.stack([*want.draws, want.rows]), rtol=1e-5)


@pytest.mark.parametrize("kind", WRITERS)
def test_tables_with_nulls(client: Any, detectors: Any, kind: str) -> None:
    table = pa.Table.from_pylist(GAPPY)
    answer = client.post(URL, content=WRITERS[kind](table), headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].split(";")[0] == kind
    found = READERS[kind](answer.content)
    want = detectors["people"].impute(rows_of(GAPPY)).rows
    assert found.column_names == ["age", "income", "height"]
    np.testing.assert_allclose(np.column_stack([c.to_numpy() for c in found.columns]), want, rtol=1e-5)
    draws = client.post(
        f"{URL}?keep_draws=true", content=WRITERS[kind](table), headers={"content-type": kind}
    )
    assert draws.status_code == 422 and "keep_draws" in draws.json()["detail"]


def test_rows_of_many_types(both: Any) -> None:
    url = "/v1/models/mixed/impute"
    record = {"age": 41.5, "city": None, "member": None, "since": None}
    document = both.post(url, json={"records": [record], "n_draws": 4, "keep_draws": True}).json()
    (row,) = document["filled"]
    assert row[0] == 41.5 and row[1] in ("Bonn", "Rome", "Oslo") and isinstance(row[2], bool)
    assert row[3].startswith("2024-01") and len(document["draws"]) == 4 and document["n_missing"] == 3
    assert document["spread"][0][0] is None and document["spread"][0][3] > 0
    csv = b"member,age,city,since\n,41.5,Rome,2024-01-20T12:00:00Z\n"
    answer = both.post(url, content=csv, headers={"content-type": "text/csv"})
    found = READERS["text/csv"](answer.content)
    assert found.column_names == ["age", "city", "member", "since"]
    assert found["member"][0].as_py() in (True, False) and found["city"][0].as_py() == "Rome"


def test_pixels_that_are_null(client: Any, detectors: Any, image: np.ndarray) -> None:
    rows = np.stack([image, image[::-1]])
    rows[0, 2, 3] = rows[1, 5, :] = np.nan
    lists = [[[None if np.isnan(v) else v for v in line] for line in one] for one in rows.tolist()]
    want = detectors["blobs"].impute(rows, n_draws=3, seed=2)
    document = client.post(IMAGES, json={"instances": lists, "n_draws": 3, "seed": 2}).json()
    np.testing.assert_allclose(document["filled"], want.rows, rtol=1e-4, atol=1e-4)
    assert np.shape(document["spread"]) == (2, 6, 5) and document["n_missing"] == 6
    options = {"headers": {"content-type": NPY}, "params": {"n_draws": 3, "seed": 2}}
    by_npy = client.post(IMAGES, content=write_npy(rows), **options)
    np.testing.assert_allclose(load(by_npy.content), want.rows, rtol=1e-4, atol=1e-4)
    seeds = [
        client.post(IMAGES, json={"instances": lists, "n_draws": 3, "seed": s}).json()["filled"]
        for s in (2, 3)
    ]
    assert seeds[0] == document["filled"] != seeds[1]


def form(image: np.ndarray, *masks: np.ndarray, kind: str = PNG, times: int = 1) -> list[Any]:
    pixels = (image / 16 * 255).round().astype(np.uint8)
    content = encode_picture(pixels, kind.removeprefix("image/").upper())
    files = [("image", (f"{i}.png", content, kind)) for i in range(times)]
    return [*files, *(("mask", ("mask.png", encode_picture(mask), PNG)) for mask in masks)]


@pytest.fixture
def mask() -> np.ndarray:
    found = np.zeros((6, 5), np.uint8)
    found[3:, :2] = 1  # hardly visible, but not black
    return found


@pytest.mark.parametrize("kind", [PNG, JPEG])
def test_a_picture_and_its_mask(
    client: Any, detectors: Any, image: np.ndarray, mask: np.ndarray, kind: str
) -> None:
    answer = client.post(IMAGES, files=form(image, mask, kind=kind), data={"n_draws": "4"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == PNG
    pixels = picture(form(image, kind=kind)[0][1][1])
    want = detectors["blobs"].impute(np.where(mask[None] > 0, np.nan, pixels[None] / 255 * 16), n_draws=4)
    np.testing.assert_allclose(picture(answer.content), want.rows[0] / 16 * 255, atol=0.6)
    np.testing.assert_array_equal(picture(answer.content)[mask == 0], pixels[mask == 0])
    by_json = client.post(
        IMAGES,
        files=form(image, mask, kind=kind),
        data={"n_draws": "4"},
        headers={"accept": "application/json"},
    ).json()
    np.testing.assert_allclose(by_json["filled"], want.rows, rtol=1e-4, atol=1e-4)
    assert by_json["n_missing"] == 6


def test_several_pictures(client: Any, image: np.ndarray, mask: np.ndarray) -> None:
    headers = {"accept": "application/json"}

    def missing(*masks: np.ndarray) -> list[int]:
        files = form(image, *masks, times=2)
        document = client.post(IMAGES, files=files, data={"n_draws": "2"}, headers=headers).json()
        filled = [[value is not None for value in np.ravel(one)] for one in document["spread"]]
        return [sum(one) for one in filled]

    assert missing(mask) == [6, 6]
    assert missing(mask, np.zeros_like(mask)) == [6, 0]
    drawn = client.post(
        IMAGES,
        files=form(image, mask, times=2),
        data={"n_draws": "2", "keep_draws": "1"},
        headers={"accept": PNG},
    )
    assert picture(drawn.content).shape == (
        3 * 31 + 1,
        2 * 26 + 1,
    )  # a line for each draw, and one for their means


def test_forms_that_do_not_fit(client: Any, image: np.ndarray, mask: np.ndarray) -> None:
    small = np.zeros((3, 3), np.uint8)
    other = [("picture", ("p.png", encode_picture(mask), PNG))]
    broken = [*form(image), ("mask", ("mask.png", b"no picture", PNG))]
    cases = (
        (form(image), "1 'image' and 0 'mask'"),
        (form(image, mask, mask, times=3), "3 'image' and 2 'mask'"),
        (form(image, mask)[1:], "0 'image' and 1 'mask'"),
        (form(image, small), "mask.png is 3 x 3, the model takes 5 x 6"),
        (other, "'picture'"),
        (broken, "mask.png"),
    )
    for files, words in cases:
        answer = client.post(IMAGES, files=files)
        assert answer.status_code == 422 and words in answer.json()["detail"], answer.text
    scaled = client.post(f"{IMAGES}?resize=true", files=form(image, np.ones((12, 10), np.uint8)))
    assert scaled.status_code == 200
    hidden = np.pad(
        np.full((1, 2), 255, np.uint8), ((1, 2), (0, 1))
    )  # 4 x 3, framed to 6 x 5 as its picture is
    fitted = client.post(
        f"{IMAGES}?resize=true",
        files=form(image[1:5, :3], hidden),
        data={"n_draws": "2"},
        headers={"accept": "application/json"},
    ).json()
    gaps = np.array([[value is not None for value in line] for line in fitted["spread"][0]])
    np.testing.assert_array_equal(np.argwhere(gaps), [[2, 1], [2, 2]])
    unknown = client.post(IMAGES, files=form(image, mask), data={"draws": "4"})
    assert unknown.status_code == 422 and "draws" in unknown.json()["detail"]
    table = client.post(URL, files=form(image, mask))
    assert table.status_code == 415


def test_each_limit_says_its_name(serve: Any, image: np.ndarray, mask: np.ndarray) -> None:
    client = serve(max_impute_rows=2, max_draws=20, max_values=100, max_pixels=50)
    for body, setting in (
        ({"records": GAPPY * 2}, "EBM_MAX_IMPUTE_ROWS"),
        ({"records": GAPPY, "n_draws": 21}, "EBM_MAX_DRAWS"),
        ({"records": GAPPY, "n_draws": 20, "keep_draws": True}, "EBM_MAX_VALUES"),
    ):
        answer = client.post(URL, json=body)
        assert answer.status_code == 422 and answer.json()["setting"] == setting
    pixels = client.post(IMAGES, files=form(image, mask))
    assert pixels.status_code == 422 and pixels.json()["setting"] == "EBM_MAX_PIXELS"
    rows = client.post(IMAGES, files=form(image, mask, times=3))
    assert rows.status_code == 422 and rows.json()["setting"] == "EBM_MAX_IMPUTE_ROWS"


def test_cells_that_are_no_gaps_are_still_named(client: Any) -> None:
    for wrong, words in (("much", "'much' is not a number"), ([1], "income"), ("1e999", "income")):
        record = {**GAPPY[0], "income": wrong}
        answer = client.post(URL, json={"records": [GAPPY[1], record]})
        assert answer.status_code == 422 and words in answer.json()["detail"], answer.text
    lost = client.post(URL, json={"records": [{"age": 1.0, "income": 2.0}]})
    assert lost.status_code == 422 and "'height' is missing" in lost.json()["detail"]
    infinite = client.post(URL, content=write_npy(np.array([[1, np.inf, 2]])), headers={"content-type": NPY})
    assert infinite.status_code == 422 and infinite.json()["column"] == "income"
