"""schemathesis holds /openapi.json against a running server: examples, boundaries, random and chained requests, with
all its checks. The same cases on every run; schemathesis.toml says which refusals fit which data."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from fake_jobs import FakeJobs
from live_server import live_server

from service.api_keys import digest
from service.settings import Settings

CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = 6  # random requests an operation, valid and invalid; the boundary cases come on top
SMALL = {
    "max_body_bytes": 200_000,
    "max_rows": 100,
    "max_denoise_rows": 4,
    "max_explain_rows": 4,
    "max_impute_rows": 4,
    "max_compare_rows": 4,
    "max_draws": 4,
    "max_samples": 4,
    "max_steps": 60,
    "max_values": 10_000,
    "max_pixels": 10_000,
}


SECRET = "a key of the tests"
KEY = {"name": "tests", "sha256": digest(SECRET), "scopes": ["score", "generate", "admin"]}
# The links between operations are those of jobs.
ONE_BY_ONE = ("--phases", "examples,coverage,fuzzing")
UNLOAD = "repository/models/.*load$"  # after it, models answer 503: by itself
# The same endpoints as without a version; that of score stands for them.
TWINS = "versions/{version}/(classify|compare|denoise|drift|explain|generate|impute|infer|ready)$"


def check(models_dir: Path, folder: Path, *options: str, **settings: Any) -> None:
    """Fails with what schemathesis reports, each failure with a curl command."""
    given = {"models_dir": models_dir, "data_dir": folder / "data", "log_level": "error", **SMALL, **settings}
    with live_server(Settings(**given), FakeJobs(finish=True)) as address:
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            *("--config-file", str(CONFIG), "run", f"{address}/openapi.json"),
            # The one DELETE cancels a job, whose record stays until it expires.
            *("--checks", "all", "--exclude-checks", "use_after_free"),
            *("--max-examples", str(EXAMPLES), "--continue-on-failure", "--no-color"),
            *options,
        ]
        # It keeps a folder of its own beside it.
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    selected, tested = (re.search(rf"{word}: +(\d+)", done.stdout) for word in ("Selected", "Tested"))
    assert selected and tested and selected[1] == tested[1] != "0", done.stdout


def test_the_server_does_what_its_document_says(models_dir: Path, tmp_path: Path) -> None:
    check(models_dir, tmp_path, "--exclude-path-regex", f"{UNLOAD}|{TWINS}")


def test_models_are_loaded_and_unloaded_as_documented(models_dir: Path, tmp_path: Path) -> None:
    check(models_dir, tmp_path, "--include-path-regex", "repository", *ONE_BY_ONE)


def test_keys_are_asked_for_where_the_document_says(models_dir: Path, tmp_path: Path) -> None:
    """Without, with a wrong and with the right key."""
    paths = (
        "^/v1/(limits|jobs(/{job_id})?|models/reload|models/{name}(/drift|/compare)?|compose/score)$|^/v2$"
    )
    header = ("--header", f"X-API-Key: {SECRET}")
    check(models_dir, tmp_path, "--include-path-regex", paths, *header, *ONE_BY_ONE, api_keys=[KEY])
