"""`ebm jobs` against a real server, whose jobs are in memory and end as a test says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_jobs import FakeJobs
from live_server import live_server

from ebm.client import Client
from service.api_keys import digest
from service.jobs.job import JobError, JobProgress
from service.settings import Settings

SECRET = "a key of the tests, long enough"


class Jobs:
    """`ebm jobs ...` against the server, and the store behind it."""

    def __init__(self, command: Any, address: str, store: FakeJobs, root: Path):
        self.command, self.address, self.store, self.root = command, address, store, root

    def __call__(self, *args: object, key: str | None = SECRET) -> Any:
        given = ["--url", self.address, *(["--api-key", key] if key else [])]
        return self.command("jobs", *args, *given)

    @property
    def last(self) -> Any:
        return list(self.store.submissions.values())[-1]


@pytest.fixture(scope="module")
def running_jobs(published: Path, command: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    folder = tmp_path_factory.mktemp("jobs")
    key = {"name": "tests", "sha256": digest(SECRET), "scopes": ["admin"]}
    given = {"models_dir": published, "data_dir": folder / "data", "job_roots": (str(folder),)}
    store = FakeJobs()
    with live_server(Settings(**given, api_keys=[key], log_level="error"), store) as address:
        yield Jobs(command, address, store, folder)


@pytest.fixture
def jobs(running_jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    running_jobs.store.clear()
    running_jobs.store.finish_at_once = False
    monkeypatch.setattr("ebm.client.batch.Pause", lambda _: _pause(0))
    return running_jobs


def _pause(seconds: float) -> Any:
    from ebm.client.calls import Pause

    return Pause(seconds)


def test_a_file_is_uploaded_and_its_job_printed(jobs: Jobs, rows: Path) -> None:
    done = jobs("submit", "score", "table", rows, "--option", "fdr=0.1", "--option", "on_error=fail")
    assert done.code == 0 and done.out == "job1\n", done.err
    assert Path(jobs.last.input).read_bytes() == rows.read_bytes() and jobs.last.input.endswith("/rows.csv")
    assert jobs.last.options == {"fdr": 0.1, "on_error": "fail"}
    found = jobs("submit", "score", "table/1", rows, "-o", "out.csv", "--json").json
    assert (
        found["version"] == "1"
        and found["output"] == "result:out.csv"
        and found["input"] == "upload:rows.csv"
    )


def test_paths_of_the_server_and_keys_are_sent_as_they_are(jobs: Jobs, rows: Path) -> None:
    there = jobs.root / "rows.csv"
    there.write_bytes(rows.read_bytes())
    asked = ("submit", "score", "table", there, "--on-server", "-o", jobs.root / "out.csv")
    for _ in range(2):
        assert jobs(*asked, "--idempotency-key", "nightly").out == "job1\n"
    assert (jobs.last.input, jobs.last.output) == (str(there), str(jobs.root / "out.csv"))
    assert "not under an allowed root" in jobs("submit", "score", "table", "s3://b/x.csv").error()


def test_training_takes_options_or_a_configuration(jobs: Jobs, rows: Path, tmp_path: Path) -> None:
    options = ("--option", "preset=tabular", "--option", "label=kind", "--option", 'normal=["good"]')
    assert jobs("submit", "train", "new", rows, *options).code == 0
    assert jobs.last.options == {"preset": "tabular", "label": "kind", "normal": ["good"]}
    config = tmp_path / "new.yaml"
    config.write_text("name: new\ndata: {kind: builtin, name: digits}\n")
    assert jobs("submit", "train", "new", "--config", config).code == 0
    assert jobs.last.options["config"]["data"]["name"] == "digits" and jobs.last.input is None


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("score", "table", "none.csv"), "none.csv: no such file here; --on-server"),
        (("score", "table", "."), "is a folder"),
        (("score", "table", "rows.csv", "--option", "fdr"), "--option fdr: write NAME=VALUE"),
        (("score", "table", "rows.csv", "--option", "a=1", "--option", "a=2"), "--option a: given twice"),
        (("score", "table", "rows.csv", "--option", "fdrr=1"), "options: fdrr"),
        (("score", "nobody", "rows.csv"), "no model 'nobody'"),
        (("denoise", "plain", "rows.csv"), "cannot denoise"),
        (("score", "table", "rows.csv", "--config", "c.yaml"), "--config goes with train"),
        (("train", "new", "--config", "none.yaml"), "none.yaml: cannot be read"),
        (("train", "new", "--config", "rows.csv"), "rows.csv: expected a mapping"),
        (("score", "table", "rows.csv", "-o", "out.xlsx"), "output: out.xlsx: must end in"),
    ],
)
def test_bad_use_is_one_line(
    jobs: Jobs, rows: Path, monkeypatch: pytest.MonkeyPatch, args: Any, said: str
) -> None:
    monkeypatch.chdir(rows.parent)
    assert said in jobs("submit", *args).error()
    assert jobs.store.jobs == {}


def test_waiting_shows_the_end_and_a_failure_is_exit_code_1(jobs: Jobs, rows: Path) -> None:
    jobs.store.finish_at_once = True
    done = jobs("submit", "score", "table", rows, "--wait", "--json")
    assert done.code == 0 and done.json["state"] == "succeeded", done.err
    done = jobs("submit", "score", "table", rows, "--wait")
    assert done.code == 0 and "succeeded" in done.out and "job2" in done.err
    error = JobError(detail="row 7, column a: not a number", row=7)
    jobs.store.put("job1", state="failed", error=error, summary=None)
    assert jobs("watch", "job1").error(1) == "job job1 failed: row 7, column a: not a number"
    failed = jobs("watch", "job1", "--json")
    assert failed.code == 1 and failed.json["error"]["row"] == 7
    jobs.store.put("job1", state="cancelled", error=None)
    assert jobs("watch", "job1").error(1) == "job job1 was cancelled"


def test_watching_follows_a_job_to_its_end(jobs: Jobs, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs("submit", "score", "table", rows)
    get, states = jobs.store.get, ["running", "running", "succeeded"]

    def moving(*args: Any) -> Any:
        if states:
            progress = JobProgress(
                done=5, total=10, per_second=2, eta_s=3661, anomalies=1, figures={"loss": 0.5}
            )
            jobs.store.put("job1", state=states.pop(0), progress=progress)
        return get(*args)

    monkeypatch.setattr(jobs.store, "get", moving)
    assert jobs("watch", "job1").code == 0 and states == []


def test_a_line_says_how_far_it_is() -> None:
    from ebm.cli.jobs_shown import _line

    done = {
        "done": 5,
        "per_second": 1234.5,
        "eta_s": 3661,
        "anomalies": 7,
        "term": "net",
        "figures": {"loss": 0.5},
    }
    assert _line("running", done) == "running net, 1,234 rows/s, 1:01:01 left, 7 anomalies, loss 0.5"
    assert _line("queued", {"done": 0, "eta_s": None}) == "queued"


def test_listing_showing_and_cancelling(jobs: Jobs, rows: Path) -> None:
    assert "no jobs" in jobs("list").err
    for _ in range(2):
        jobs("submit", "score", "table", rows)
    assert jobs("cancel", "job2").err.strip() == "job job2: cancelled"
    assert [job["id"] for job in jobs("list", "--json").json["jobs"]] == ["job2", "job1"]
    assert [job["id"] for job in jobs("list", "--state", "queued", "--json").json["jobs"]] == ["job1"]
    assert jobs("list", "--kind", "train", "--json").json == {"jobs": []}
    assert "job1" in jobs("list").out
    shown = jobs("show", "job1")
    assert "upload:rows.csv" in shown.out and "queued" in shown.out and "error" not in shown.out
    assert jobs("show", "job1", "--json").json["kind"] == "score"
    assert "job9" in jobs("show", "job9").error()


def test_results_become_files(jobs: Jobs, rows: Path, tmp_path: Path) -> None:
    jobs.store.finish_at_once, jobs.store.content = True, b"PAR1 of rows"
    jobs("submit", "score", "table", rows)
    jobs("submit", "score", "table", rows, "-o", "parts")
    out = tmp_path / "scored.parquet"
    assert json.loads(jobs("result", "job1", "-o", out, "--json").out) == {"path": str(out)}
    assert out.read_bytes() == b"PAR1 of rows"
    assert jobs("result", "job2", "-o", tmp_path / "parts").code == 0
    assert len(list((tmp_path / "parts").iterdir())) == 2
    one = tmp_path / "one.parquet"
    assert jobs("result", "job2", "-o", one, "--part", "part-000001.parquet").code == 0 and one.exists()
    assert jobs("result", "job1", "-o", tmp_path / "rejects.csv", "--rejects").code == 0
    assert (tmp_path / "rejects.csv").read_text() == "row,column,reason\n"
    assert "does not exist" in jobs("result", "job1", "-o", tmp_path / "none" / "x").error()
    assert "is a .parquet file" in jobs("result", "job1", "-o", tmp_path / "scored.csv").error()
    assert not (tmp_path / "scored.csv").exists()
    jobs.store.put("job1", state="running")
    assert "the job is running" in jobs("result", "job1", "-o", out).error()


def test_a_key_is_needed_and_taken_from_the_environment(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, ebm: Any
) -> None:
    assert "an API key is needed" in jobs("list", key=None).error(1)
    monkeypatch.setenv("EBM_API_KEY", SECRET)
    monkeypatch.setenv("EBM_URL", jobs.address)
    assert ebm("jobs", "list").code == 0


def test_a_server_that_is_not_there_is_named(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(httpx.Client, "send", refuse)
    monkeypatch.setattr(
        Client.__init__, "__kwdefaults__", {**Client.__init__.__kwdefaults__, "sleep": lambda _: None}
    )
    done = command("jobs", "list", "--url", "http://127.0.0.1:9")
    assert done.error(1).startswith("http://127.0.0.1:9: the server was not reached")


def test_ctrl_c_stops_watching_and_not_the_job(
    jobs: Jobs, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs("submit", "score", "table", rows)

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "wait_for_job", interrupted)
    done = jobs("watch", "job1")
    assert done.code == 130 and "job job1 goes on" in done.err
    assert jobs.store.jobs["job1"].state == "queued"
