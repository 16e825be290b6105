"""Rows of many types over HTTP: records with nulls, text, booleans and times; each wrong cell named."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from ebm import artifact
from ebm.detector import Detector
from ebm.fitting import fit_detector
from ebm.training.config import TrainConfig

CONFIG = {
    "name": "mixed",
    "accelerator": "cpu",
    "data": {"kind": "builtin", "name": "breast_cancer"},
    "preprocessing": {"kind": "mixed"},
    "terms": [{"name": "kernel", "energy": {"kind": "kernel", "bandwidth": 1.0}}],
    "sampling": {
        "term": "kernel",
        "sampler": {
            "kind": "annealed_langevin", "sigma_min": 0.1, "sigma_max": 2.0, "n_levels": 4, "step_size": 0.2,
            "n_steps_per_level": 2,
        },
    },
}  # fmt: skip
RECORD = {"age": 41.5, "city": "Bonn", "member": True, "since": "2024-01-20T12:00:00"}
ROW = list(RECORD.values())


def table(n: int = 140) -> pa.Table:
    rng = np.random.default_rng(0)
    since = np.datetime64("2024-01-01", "s") + rng.integers(0, 30 * 86400, n).astype("timedelta64[s]")
    return pa.table(
        {
            "age": pa.array(rng.normal(40, 10, n), mask=rng.random(n) < 0.2),
            "city": pa.array(rng.choice(["Bonn", "Rome", "Oslo"], n), mask=rng.random(n) < 0.1),
            "member": rng.random(n) < 0.5,
            "since": pa.array(since, pa.timestamp("s", "Europe/Berlin")),
        }
    )


@pytest.fixture(scope="module")
def detector() -> Detector:
    rows = table()
    return fit_detector(TrainConfig.model_validate(CONFIG), rows.slice(0, 100), rows.slice(100))


@pytest.fixture(scope="module")
def mixed_dir(tmp_path_factory, detector):
    folder = tmp_path_factory.mktemp("mixed")
    artifact.publish(detector, folder, "# mixed")
    return folder


@pytest.fixture
def mixed(serve, mixed_dir):
    return serve(models_dir=mixed_dir)


def score(client, **body):
    return client.post("/v1/models/mixed/score", json=body)


def test_records_and_instances_of_every_type(mixed, detector):
    records = [RECORD, {**RECORD, "age": None, "city": None}, {**RECORD, "city": "Atlantis", "member": False}]
    answer = score(mixed, records=records)
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(answer.json()["energy"], detector.energies(records), rtol=1e-5)
    shuffled = [dict(reversed(record.items())) for record in records]
    assert score(mixed, records=shuffled).json() == answer.json()
    rows = [list(record.values()) for record in records]
    assert score(mixed, instances=rows).json() == answer.json()
    assert answer.json()["rank"][2] == 1  # the city that nobody comes from


def test_requests_share_a_batch(mixed, detector):
    """Nulls, texts and numbers of several requests meet in one table."""
    bodies = [{**RECORD, "age": age, "city": city} for age in (None, 1, 2.5) for city in (None, "Rome", "X")]
    expected = detector.energies(bodies)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda record: score(mixed, records=[record]).json()["energy"][0], bodies * 4)
        )
    np.testing.assert_allclose(answers, np.tile(expected, 4), rtol=1e-5)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"age": "old"}, "'old', not a number"),
        ({"age": "41"}, "'41', not a number"),
        ({"age": 1e300}, "too large"),
        ({"age": [1]}, "not a number"),
        ({"member": None}, "is missing (no training row had a null there)"),
        ({"member": "yes"}, "'yes', not true or false"),
        ({"city": {"a": 1}}, "not text"),
        ({"since": "soon"}, "'soon', not an ISO 8601 date and time"),
        ({"since": 5}, "5, not an ISO 8601"),
        ({"colour": 1}, "the model has no column 'colour'"),
    ],
)
def test_a_wrong_cell_is_named(mixed, changes, message):
    bodies = [{"records": [RECORD, RECORD | changes]}]
    if "colour" not in changes:
        bodies += [{"instances": [ROW, list((RECORD | changes).values())]}]
    for body in bodies:
        answer = score(mixed, **body)
        problem = answer.json()
        assert answer.status_code == 422, answer.text
        assert message in problem["detail"]
        assert (problem["row"], problem["column"]) == (1, next(iter(changes)))


@pytest.mark.parametrize(
    "body, message",
    [
        ({"records": [{"age": 1}]}, "column 'city' is missing"),
        ({"records": [RECORD, 3]}, "row 1: a record must be"),
        ({"records": []}, "at least one"),
        ({"instances": [ROW, ROW[:2]]}, "row 1 has 2 values, the model takes 4"),
        ({"instances": ROW}, "row 0 is 41.5, not a row"),
        ({"instances": [[ROW]]}, "row 0 has 1 values"),
        ({"instances": [[[1], [2], [3], [4]]]}, "row 0, column 'age'"),
    ],
)
def test_wrong_bodies(mixed, body, message):
    answer = score(mixed, **body)
    assert answer.status_code == 422, answer.text
    assert message in answer.json()["detail"]


def test_an_array_is_taken_by_position_where_it_can_be(mixed):
    stream = io.BytesIO()
    np.save(stream, np.zeros((2, 4)))
    headers = {"content-type": "application/x-npy"}
    answer = mixed.post("/v1/models/mixed/score", content=stream.getvalue(), headers=headers)
    assert (
        answer.status_code == 422 and "column 'since' is 0.0, not a date and time" in answer.json()["detail"]
    )


def test_denoised_and_generated_rows_can_be_sent_back(mixed):
    if "denoise" in mixed.get("/v1/models/mixed").json()["can"]:
        clean = mixed.post("/v1/models/mixed/denoise", json={"records": [RECORD, {**RECORD, "age": None}]})
        assert clean.status_code == 200, clean.text
        assert score(mixed, instances=clean.json()["denoised"]).status_code == 200
    made = mixed.post("/v1/models/mixed/generate", json={"n": 5, "keep_every": 4})
    assert made.status_code == 200, made.text
    document = made.json()
    assert document["columns"] == list(RECORD) and len(document["samples"]) == 5
    assert {type(cell) for row in document["samples"] for cell in row} <= {float, str, bool, type(None)}
    for rows in (document["samples"], *document["snapshots"]):
        assert score(mixed, instances=rows).status_code == 200
    npy = mixed.post("/v1/models/mixed/generate", json={"n": 1}, headers={"accept": "application/x-npy"})
    assert npy.status_code == 406


def test_the_model_says_what_it_takes(mixed):
    detail = mixed.get("/v1/models/mixed").json()
    columns = {column["name"]: column for column in detail["manifest"]["input"]["columns"]}
    assert detail["columns"] == list(columns) == list(RECORD)
    assert (
        list(columns["city"]["levels"]) and columns["age"]["nullable"] and not columns["member"]["nullable"]
    )


def test_the_examples_of_the_document_run(mixed):
    operation = mixed.get("/openapi.json").json()["paths"]["/v1/models/{name}/score"]["post"]
    found = operation["requestBody"]["content"]["application/json"]["examples"]
    assert len(found) == 2
    for example in found.values():
        answer = score(mixed, **example["value"])
        assert answer.status_code == 200, answer.text
