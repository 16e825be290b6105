"""POST /v1/jobs: what is accepted becomes a submission, what is not is refused by the field at fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from job_server import KEYS, SCORE, JobServer, job_server, refused

TRAIN = {"kind": "train", "model": "pumps"}
PRESET = {**TRAIN, "options": {"preset": "tabular"}}


@pytest.fixture(scope="module")
def server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    with job_server(models_dir, tmp_path_factory.mktemp("submit")) as server:
        (server.root / "rows.csv").write_text("age,income,height\n41,3100,1.75\n")
        yield server


@pytest.fixture(scope="module")
def locked(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    with job_server(models_dir, tmp_path_factory.mktemp("locked"), api_keys=KEYS) as server:
        (server.root / "rows.csv").write_text("age,income,height\n41,3100,1.75\n")
        yield server


def last(server: JobServer) -> Any:
    return list(server.store.submissions.values())[-1]


def test_a_path_under_a_root_is_accepted(server: JobServer) -> None:
    rows, out = server.root / "rows.csv", server.root / "out.parquet"
    asked = {**SCORE, "input": str(rows), "output": str(out), "options": {"fdr": 0.1, "on_error": "fail"}}
    answer = server.submit(asked)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (
        answer.headers["Location"] == f"/v1/jobs/{job['id']}" and "Idempotency-Replayed" not in answer.headers
    )
    assert (job["state"], job["input"], job["output"]) == ("queued", str(rows), str(out))
    found = last(server)
    assert (found.kind, found.model, found.version, found.owner) == ("score", "people", "1", None)
    assert (found.input, found.output, found.engine) == (str(rows), str(out), "local")
    assert found.options == {"fdr": 0.1, "on_error": "fail"}


def test_the_version_that_a_name_means_is_pinned(server: JobServer) -> None:
    rows = str(server.root / "rows.csv")
    for version, pinned in ((None, "2"), ("1", "1")):
        server.submit({"kind": "denoise", "model": "blobs", "version": version, "input": rows})
        assert last(server).version == pinned


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({**SCORE}, "rows.scored.parquet"),
        ({**SCORE, "output": "mine.csv.gz"}, "mine.csv.gz"),
        ({**SCORE, "output": "parts"}, "parts"),
        ({"kind": "denoise", "model": "blobs"}, "rows.denoised.npy"),
        ({"kind": "generate", "model": "blobs", "options": {"n": 5}, "input": None}, "samples.npy"),
    ],
)
def test_without_a_place_the_server_keeps_the_result(
    server: JobServer, asked: dict[str, Any], name: str
) -> None:
    job = server.submit({"input": str(server.root / "rows.csv"), **asked}).json()
    assert job["output"] == f"result:{name}", job
    assert last(server).output == f"{server.data}/results/{job['id']}/{name}"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": "guess"}, "kind: "),
        ({"kind": None}, "kind: "),
        ({"priority": 1}, "priority: "),
        ({"engine": "spark"}, "engine: "),
        ({"options": []}, "options: "),
        ({"options": {"fprr": 0.1}}, "options: fprr"),
        ({"options": {"fpr": 2}}, "options: fpr"),
        ({"options": {"fpr": 0.1, "fdr": 0.1}}, "options: give fpr or fdr"),
        ({"options": {"rows_per_chunk": 0}}, "options: rows_per_chunk"),
        ({"options": {"kind": "denoise"}}, "options: kind"),
        ({"input": None}, "input: missing"),
        ({"input": "rows.csv"}, "input: rows.csv: give an absolute path"),
        ({"input": "/etc/passwd"}, "input: /etc/passwd is not under an allowed root"),
        ({"input": "{root}/none.csv"}, "no such file"),
        ({"output": "scores.xlsx"}, "output: scores.xlsx: must end in .parquet"),
        ({"output": "../up.csv"}, "output: ../up.csv: give an absolute path"),
        ({"output": ".hidden"}, "output: a bare name"),
        ({"output": "{root}/none/out.csv"}, "output: {root}/none/out.csv: the folder that is to hold it"),
        ({"output": "{root}"}, "output: {root}: is a root itself"),
        ({"kind": "generate", "model": "blobs", "options": {"n": 2}}, "input: none goes with"),
        ({"kind": "generate", "model": "blobs", "input": None}, "options: n"),
        ({"kind": "denoise", "model": "people"}, "model: model 'people' cannot denoise"),
    ],
)
def test_what_cannot_run_is_refused_by_the_field_at_fault(
    server: JobServer, changed: dict[str, Any], said: str
) -> None:
    def filled(value: Any) -> Any:
        return value.format(root=server.root) if isinstance(value, str) else value

    before = len(server.store.jobs)
    asked = {**SCORE, "input": "{root}/rows.csv", **changed}
    detail = refused(server.submit({key: filled(value) for key, value in asked.items()}))
    assert filled(said) in detail.replace("'", "") or filled(said) in detail, detail
    assert len(server.store.jobs) == before


def test_a_model_that_is_not_there_is_404_and_one_that_is_damaged_503(server: JobServer) -> None:
    rows = str(server.root / "rows.csv")
    for model, version, status in (("nobody", None, 404), ("people", "9", 404), ("broken", None, 503)):
        answer = server.submit({"kind": "score", "model": model, "version": version, "input": rows})
        refused(answer, status)
        assert answer.json()["field"] == "model"


def test_training_is_checked_from_outside(server: JobServer) -> None:
    rows = str(server.root / "rows.csv")
    assert server.submit({**PRESET, "input": rows, "version": "3"}).status_code == 202
    found = last(server)
    assert (found.model, found.version, found.input) == ("pumps", "3", rows)
    builtin = {"name": "pumps", "data": {"kind": "builtin", "name": "digits"}}
    assert server.submit({**TRAIN, "options": {"config": builtin}}).status_code == 202
    (server.root / "link.csv").symlink_to(rows)
    linked = {"data": {"kind": "file", "path": str(server.root / "link.csv")}}
    assert server.submit({**TRAIN, "options": {"config": linked}}).status_code == 202
    assert last(server).options["config"]["data"]["path"] == rows, "the worker opens what was checked"
    for asked, said in (
        (PRESET, "input: missing"),
        ({**PRESET, "input": rows, "output": rows}, "output: a training job"),
        ({**PRESET, "input": rows, "model": "Pumps!"}, "model: 'Pumps!'"),
        ({**PRESET, "input": rows, "version": "../1"}, "version: '../1'"),
        ({**TRAIN, "input": rows}, "options: "),
        (
            {**TRAIN, "options": {"config": {"data": {"path": "/etc/passwd"}}}},
            "options.config.data.path: /etc",
        ),
        (
            {**TRAIN, "input": rows, "options": {"config": {"data": {"labels_path": "/etc/passwd"}}}},
            "options.config.data.labels_path: /etc",
        ),
        ({**TRAIN, "options": {"config": {"data": {}}}}, "input: missing"),
        ({**TRAIN, "options": {"config": {"data": 1}}}, "options.config.data"),
        ({**TRAIN, "options": {"config": {**builtin, "name": "fans"}}}, "options.config.name: 'fans'"),
    ):
        detail = refused(server.submit(asked))
        assert detail.startswith(said), detail


def test_each_kind_needs_its_scope(locked: JobServer) -> None:
    rows = str(locked.root / "rows.csv")
    asked = {
        "score": {**SCORE, "input": rows},
        "denoise": {"kind": "denoise", "model": "blobs", "input": rows},
        "generate": {"kind": "generate", "model": "blobs", "options": {"n": 1}},
        "train": {**PRESET, "input": rows},
    }
    may = {"scorer": {"score"}, "maker": {"denoise", "generate"}, "boss": set(asked)}
    for key, kinds in may.items():
        for kind, document in asked.items():
            answer = locked.submit(document, **locked.as_key(key))
            assert answer.status_code == (202 if kind in kinds else 403), (key, kind, answer.text)
            if kind in kinds:
                assert last(locked).owner == key
    assert locked.submit(asked["score"]).status_code == 401


def test_only_administrators_are_told_the_roots(locked: JobServer) -> None:
    asked = {**SCORE, "input": "/etc/passwd"}
    told = refused(locked.submit(asked, **locked.as_key("boss")))
    untold = refused(locked.submit(asked, **locked.as_key("scorer")))
    assert str(locked.root) in told and str(locked.root) not in untold


def test_a_key_answers_with_the_job_it_made_first(server: JobServer) -> None:
    asked = {**SCORE, "input": str(server.root / "rows.csv")}
    first = server.submit(asked, Idempotency_Key="once")
    again = server.submit(asked, Idempotency_Key="once")
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["id"] == first.json()["id"] and again.headers["Idempotency-Replayed"] == "true"
    other = server.submit({**asked, "options": {"fpr": 0.2}}, Idempotency_Key="once")
    refused(other, 409)
    assert other.json()["type"].endswith(":idempotency-conflict")
    for key in ("", "two words", "x" * 201, "\u00e4"):
        answer = server.client.request(
            "POST", "/v1/jobs", json=asked, headers=[(b"idempotency-key", key.encode("latin-1"))]
        )
        assert refused(answer).startswith("Idempotency-Key"), key


def test_other_bodies_are_refused(server: JobServer) -> None:
    for content, media, status in (
        (b"kind: score", "text/yaml", 415),
        (b"[]", "application/json", 422),
        (b"{", "application/json", 422),
        (b"", "application/json", 422),
    ):
        answer = server.client.post("/v1/jobs", content=content, headers={"Content-Type": media})
        refused(answer, status)
