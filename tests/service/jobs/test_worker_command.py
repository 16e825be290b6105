"""`ebm worker`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from job_harness import make_rows, make_settings, opened, score, wait_for
from typer.testing import CliRunner

from ebm.cli.app import app
from service.jobs.auto import child_environment

COMMAND = [sys.executable, "-c", "from ebm.cli import main; main()", "worker"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kinds", "score,paint"], "--kinds: 'paint' is none of score, train, generate, denoise"),
        (["--kinds", ","], "--kinds: names none of"),
        (["--concurrency", "0"], "--concurrency: '0'"),
        (["--concurrency", "score=2,train"], "--concurrency: 'train'"),
        (["--concurrency", "paint=1"], "--concurrency: 'paint=1'"),
        (["--config", "/none.yaml"], "/none.yaml: cannot be read"),
    ],
)
def test_bad_options_are_named(options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["worker", *options])
    assert result.exit_code == 2 and said in result.output


def test_the_help_has_an_example() -> None:
    assert "Example: ebm worker --kinds" in CliRunner().invoke(app, ["worker", "--help"]).output


def test_limits_of_one_worker() -> None:
    from ebm.cli.worker import _kinds, _limits

    kinds = _kinds("train, score")
    assert kinds == ["score", "train"]
    assert _limits("3", kinds) == {"score": 3, "train": 3}
    assert _limits("2,train=1,denoise=9", kinds) == {"score": 2, "train": 1}
    assert _limits(None, kinds) == {}


@pytest.mark.slow
def test_it_says_in_one_line_that_the_database_is_away_and_runs_jobs_until_told_to_stop(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    away = settings.model_copy(update={"database_url": "postgresql://ebm:hunter2@127.0.0.1:9/jobs"})
    # Both at once: most of their time is that of importing torch.
    bad = subprocess.Popen(COMMAND, env=child_environment(away), stderr=subprocess.PIPE, text=True)
    good = subprocess.Popen(
        [*COMMAND, "--name", "a b/c", "--kinds", "score", "--concurrency", "2"],
        env=child_environment(settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    make_rows(tmp_path / "rows.parquet", 50)
    with opened(settings) as store:
        job, _ = store.submit(score(tmp_path))
        assert wait_for(store, job.id).state == "succeeded"
    os.kill(good.pid, signal.SIGTERM)
    said = good.communicate(timeout=60)[1]
    lines = [json.loads(line) for line in said.splitlines()]
    assert good.returncode == 0, said
    events = [line["event"] for line in lines]
    assert events == ["worker_ready", "job_started", "job_done", "worker_stopping", "worker_stopped"]
    assert lines[0]["worker"].startswith("a-b-c-") and lines[0]["limits"] == {"score": 2}
    said = bad.communicate(timeout=60)[1]
    assert bad.returncode == 1 and "hunter2" not in said and "Traceback" not in said
    assert said.startswith("error: ") and "refused" in said and said.count("\n") == 1
