"""The same rows in every media type give the same scores."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any

import corpus
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pytest
from in_process import Client

PEOPLE, MIXED = "/v1/models/people/score", "/v1/models/mixed/score"
BLOBS = "/v1/models/blobs/score"


def post(client: Client, url: str, kind: str, body: bytes, **options: Any) -> Any:
    headers = {"content-type": kind} | options.pop("headers", {})
    return client.post(url, content=body, headers=headers, **options)


@pytest.mark.parametrize("name", ["people", "mixed"])
@pytest.mark.parametrize(
    "kind, write",
    [
        (corpus.CSV, corpus.csv),
        (corpus.STREAM, corpus.stream),
        (corpus.STREAM, lambda rows: corpus.stream(rows, "zstd")),
        (corpus.FILE, lambda rows: corpus.file(rows, "lz4")),
        (corpus.PARQUET, corpus.parquet),
        (corpus.PARQUET, lambda rows: corpus.parquet(rows, compression="gzip", data_page_version="2.0")),
        (corpus.PARQUET, lambda rows: corpus.parquet(rows, row_group_size=2, use_dictionary=False)),
    ],
)
def test_tables(both: Client, name: str, kind: str, write: Any) -> None:
    rows = corpus.people() if name == "people" else corpus.mixed()
    url = f"/v1/models/{name}/score"
    want = both.post(url, content=corpus.records(rows)).json()
    assert len(want["energy"]) == 5
    for turned in (rows, rows.select(rows.column_names[::-1])):  # by name, in any order
        answer = post(both, url, kind, write(turned))
        assert answer.status_code == 200, answer.text
        np.testing.assert_allclose(answer.json()["energy"], want["energy"], rtol=1e-6)
    form = corpus.form(("rows", kind, write(rows)), fields={"fpr": "0.25"})
    answer = post(both, url, corpus.FORM, form).json()
    assert answer["fpr"] == 0.25
    np.testing.assert_allclose(answer["energy"], want["energy"], rtol=1e-6)


@pytest.mark.parametrize("kind, write", [(corpus.CSV, corpus.csv), (corpus.STREAM, corpus.stream),
                                         (corpus.PARQUET, corpus.parquet)])  # fmt: skip
def test_columns_that_the_model_does_not_know(both: Client, kind: str, write: Any) -> None:
    rows = corpus.people()
    wide = rows.append_column("name", pa.array(list("abcde"))).append_column(
        "__index_level_0__", pa.array(range(5))
    )
    answer = post(both, PEOPLE, kind, write(wide))
    assert answer.status_code == 422 and "the model has no column 'name'" in answer.json()["detail"]
    assert answer.json()["column"] == "name"
    ignored = post(both, PEOPLE, kind, write(wide), params={"ignore_unknown": "true"})
    assert ignored.json() == post(both, PEOPLE, kind, write(rows)).json()
    lost = post(both, PEOPLE, kind, write(rows.drop_columns(["income"])))
    assert lost.status_code == 422 and "column 'income' is missing" in lost.json()["detail"]


def test_records_with_keys_that_the_model_does_not_know(both: Client, person: dict[str, float]) -> None:
    body = {"records": [{**person, "name": "x"}]}
    assert both.post(PEOPLE, json=body).status_code == 422
    want = both.post(PEOPLE, json={"records": [person]}).json()
    assert both.post(PEOPLE, json={**body, "ignore_unknown": True}).json() == want
    assert both.post(PEOPLE, json=body, params={"ignore_unknown": "1"}).json() == want
    assert both.post(PEOPLE, json={**body, "ignore_unknown": 3}).status_code == 422


def test_the_views_and_categories_of_polars(both: Client) -> None:
    rows = corpus.mixed()
    frame = pl.DataFrame({**{n: rows[n].to_pylist() for n in rows.column_names}}).with_columns(
        pl.col("since").cast(pl.Datetime("us", "UTC"))
    )
    for city in (pl.String, pl.Categorical):
        sink = io.BytesIO()
        frame.with_columns(pl.col("city").cast(city)).write_ipc_stream(sink)
        answer = post(both, MIXED, corpus.STREAM, sink.getvalue())
        assert answer.status_code == 200, answer.text
        assert (
            answer.json()["energy"] == post(both, MIXED, corpus.STREAM, corpus.stream(rows)).json()["energy"]
        )


def test_a_csv_without_a_header_is_read_by_position(both: Client) -> None:
    text = b"41,3100,1.75\n40,3000,1.7\n"
    want = both.post(PEOPLE, json={"instances": [[41, 3100, 1.75], [40, 3000, 1.7]]}).json()
    assert post(both, PEOPLE, "text/csv", text).json() == want
    assert post(both, PEOPLE, "text/csv; header=absent", text).json() == want
    refused = post(both, PEOPLE, "text/csv; header=present", text)
    assert refused.status_code == 422 and "column 'age' is missing" in refused.json()["detail"]
    assert post(both, PEOPLE, "text/csv; header=perhaps", text).status_code == 422
    named = post(
        both, PEOPLE, "text/csv; header=present; charset=utf-8", b"height,age,income\n1.75,41,3100\n"
    )
    assert named.json()["energy"] == want["energy"][:1]


@pytest.mark.parametrize(
    "text, words, row, column",
    [
        (b"age,income,height\n1,2,3\n4,x,6\n", "'x', not a number", 1, "income"),
        (b"age,income,height\n1,2,3\n4,,6\n", "is missing", 1, "income"),
        (b"age,income,height\n1,2,3\n4,5\n", "row 1 has 2 cells, not 3", 1, None),
        (b'age,income,height\n1,"2\n",3\n\n4,5,6,7\n', "row 1 has 4 cells, not 3", 1, None),
        (b"age,income,height\n", "no rows", None, None),
        (b"", "empty", None, None),
        (b"age,age,height\n1,2,3\n", "two columns are named", None, "age"),
        (b"\0" * 1000, "missing", None, "age"),
        (b"\xff\xfe,b\n1,2\n", "not a readable CSV", None, None),
        (b"a" * 3_000_000, "", None, None),
        (b"a," * 1_000_000, "columns, the model takes 3", None, None),
        (b'"' + b"a\n" * 100_000, "", None, None),
        (b"age,income,height\n" + b"1,2,3\n" * 101, "rows: 101 is over the limit of 100", None, None),
    ],
)
def test_bad_csv(both: Client, text: bytes, words: str, row: int | None, column: str | None) -> None:
    answer = post(both, PEOPLE, "text/csv", text)
    problem = answer.json()
    assert answer.status_code == 422, answer.text
    assert words in problem["detail"] and "\n" not in problem["detail"]
    assert (problem.get("row"), problem.get("column")) == (row, column)


@pytest.mark.parametrize(
    "encode, encoding", [(gzip.compress, "gzip"), (gzip.compress, "GZIP"), (zlib.compress, "deflate")]
)
def test_content_encoding(both: Client, encode: Any, encoding: str) -> None:
    body = corpus.records(corpus.people())
    want = both.post(PEOPLE, content=body).json()
    answer = post(both, PEOPLE, corpus.JSON, encode(body), headers={"content-encoding": encoding})
    assert answer.json() == want
    for damaged in (encode(body)[:-3], encode(body) + b"x", b"", b"x", body):
        answer = post(both, PEOPLE, corpus.JSON, damaged, headers={"content-encoding": encoding})
        assert answer.status_code == 422 and encoding.lower() in answer.json()["detail"]


def test_gzip_of_several_members(both: Client) -> None:
    body = corpus.records(corpus.people())
    parts = gzip.compress(body[:30]) + gzip.compress(body[30:])
    answer = post(both, PEOPLE, corpus.JSON, parts, headers={"content-encoding": "gzip"})
    assert answer.json() == both.post(PEOPLE, content=body).json()


def test_several_pictures_in_a_form(both: Client) -> None:
    kinds = [("PNG", "L"), ("JPEG", "L"), ("PNG", "RGBA"), ("PNG", "P")]
    pictures = [corpus.picture(kind, mode=mode) for kind, mode in kinds]
    singles = [post(both, BLOBS, corpus.PNG, picture).json()["energy"][0] for picture in pictures]
    files = [(f"{i}.png", "image/png", picture) for i, picture in enumerate(pictures)]
    answer = post(both, BLOBS, corpus.FORM, corpus.form(*files, fields={"fpr": "0.5"}))
    assert answer.status_code == 200, answer.text
    assert (
        answer.json()["energy"] == singles and len(set(singles)) == 3
    )  # RGBA without transparency is gray again
    assert answer.json()["fpr"] == 0.5
    wrong = corpus.form(*files[:2], ("other.png", "image/png", corpus.picture(size=(6, 5))))
    answer = post(both, BLOBS, corpus.FORM, wrong)
    assert answer.status_code == 422 and answer.json()["row"] == 2 and "other.png" in answer.json()["detail"]
    scaled = post(both, BLOBS, corpus.FORM, wrong, params={"resize": "true"})
    assert scaled.json()["energy"][:2] == singles[:2]
    many = corpus.form(*[("a.png", "image/png", corpus.picture(size=(90, 90)))] * 2)
    answer = post(both, BLOBS, corpus.FORM, many, params={"resize": "true"})
    assert answer.status_code == 422 and answer.json()["setting"] == "EBM_MAX_PIXELS"


@pytest.mark.parametrize(
    "body, kind, words",
    [
        (corpus.form(("a.png", "image/png", corpus.picture())), "multipart/form-data", "no boundary"),
        (corpus.form(), corpus.FORM, "no file"),
        (corpus.form(fields={"fpr": "0.1"}), corpus.FORM, "no file"),
        (corpus.form(("a.png", "image/png", corpus.picture()))[:-9], corpus.FORM, "cut off"),
        (b"nonsense", corpus.FORM, "damaged"),
        (
            corpus.form(("a.csv", "text/csv", b"1"), ("b.csv", "text/csv", b"1")),
            corpus.FORM,
            "one file of another",
        ),
        (
            corpus.form(("a.png", "image/png", corpus.picture()), fields={"colour": "x"}),
            corpus.FORM,
            "colour",
        ),
        (
            corpus.form(("a.png", "image/png", corpus.picture()), fields={"a": "x" * 10_001}),
            corpus.FORM,
            "too long",
        ),
        (corpus.form(*[("a.png", "image/png", b"x")] * 101), corpus.FORM, "over the limit of 100"),
    ],
)
def test_bad_forms(both: Client, body: bytes, kind: str, words: str) -> None:
    answer = post(both, BLOBS, kind, body)
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["detail"]


def test_a_file_is_known_by_its_name_where_its_type_says_nothing(both: Client) -> None:
    plain = corpus.form(("rows.csv", "application/octet-stream", corpus.csv(corpus.people())))
    want = post(both, PEOPLE, corpus.CSV, corpus.csv(corpus.people())).json()
    assert post(both, PEOPLE, corpus.FORM, plain).json() == want
    unknown = corpus.form(("rows.xls", "application/octet-stream", b"x"))
    assert post(both, PEOPLE, corpus.FORM, unknown).status_code == 415


def test_pictures_turned_by_their_tag_and_of_16_bits(both: Client) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: 6 x 5 as it is stored, 5 x 6 as it is meant
    turned = corpus.picture(size=(6, 5), exif=exif)
    assert post(both, BLOBS, corpus.PNG, turned).status_code == 200
    sink = io.BytesIO()
    Image.fromarray(np.full((6, 5), 32768, np.uint16)).save(sink, "PNG")
    deep = post(both, BLOBS, corpus.PNG, sink.getvalue()).json()["energy"]
    want = both.post(BLOBS, json={"instances": np.full((1, 6, 5), 32768 / 65535 * 16).tolist()}).json()[
        "energy"
    ]
    np.testing.assert_allclose(deep, want, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(corpus.GOOD))
def test_the_corpus_is_good_before_it_is_damaged(both: Client, name: str) -> None:
    model, kind, body = corpus.GOOD[name]
    answer = post(both, f"/v1/models/{model}/score", kind, body)
    assert answer.status_code == 200, answer.text
