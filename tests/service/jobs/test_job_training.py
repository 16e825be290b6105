"""Jobs that train: resumed, published once, and kept to the files that they may read."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ebm.artifact import load, verify
from ebm.errors import BadInput, Cancelled
from service.jobs import training
from service.jobs.job import Submission
from service.jobs.meter import Meter
from service.jobs.publish import publish_files
from service.jobs.running import perform
from service.settings import Settings

KERNEL = {"name": "kernel", "energy": {"kind": "kernel"}}
NETWORK = {
    "name": "network",
    "energy": {"kind": "mlp", "width": 8, "noise_conditional": True},
    "objective": {"kind": "dsm", "sigma_min": 0.1, "sigma_max": 4.0},
    "training": {"n_steps": 60, "batch_size": 16, "checkpoint_every": 10},
    "sigmas": [0.2],
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    rows = np.random.default_rng(0).normal(size=(120, 3))
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",", header="a,b,c", comments="")
    return Settings(data_dir=tmp_path / "data", models_dir=tmp_path / "models", job_roots=(str(tmp_path),))


def submission(folder: Path, *terms: dict[str, Any], **given: Any) -> Submission:
    config = {"preprocessing": {"kind": "standardize"}, "terms": list(terms or (KERNEL,))}
    values = {"kind": "train", "model": "pumps", "version": "1", "output": "models"}
    values |= {"input": str(folder / "rows.csv"), "options": {"config": config}}
    return Submission(**{**values, **given})


def watch(stop_after: int | None = None) -> Any:
    """As `Watch`, without a database; stops when so many steps were noted."""
    stopped = threading.Event()
    meter = Meter()
    note = meter.note

    def noted(done: int, *args: Any, **options: Any) -> None:
        note(done, *args, **options)
        if stop_after is not None and done >= stop_after:
            stopped.set()

    meter.note = noted  # type: ignore[method-assign]
    return SimpleNamespace(meter=meter, should_stop=stopped.is_set)


def test_a_model_is_trained_and_published(settings: Settings, tmp_path: Path) -> None:
    found = perform(submission(tmp_path), "j1", settings, watch())
    path = tmp_path / "models" / "pumps" / "1"
    assert found["path"] == str(path) and (found["model"], found["version"]) == ("pumps", "1")
    assert verify(path).name == "pumps" and found["run_dir"] == str(tmp_path / "data" / "runs" / "j1")


def test_an_attempt_that_ended_after_publishing_is_repeated_without_training(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = perform(submission(tmp_path), "j1", settings, watch())
    monkeypatch.setattr("ebm.runs.train", lambda *_, **__: pytest.fail("trained again"))
    assert perform(submission(tmp_path), "j1", settings, watch()) == first
    shutil.rmtree(tmp_path / "models")
    assert perform(submission(tmp_path), "j1", settings, watch()) == first
    assert load(tmp_path / "models" / "pumps" / "1").name == "pumps"


def test_a_version_that_is_taken_is_refused_before_training(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform(submission(tmp_path), "j1", settings, watch())
    monkeypatch.setattr("ebm.runs.train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(BadInput, match="published already"):
        perform(submission(tmp_path), "j2", settings, watch())


def test_a_stopped_training_goes_on_where_it_was(settings: Settings, tmp_path: Path) -> None:
    given = submission(tmp_path, KERNEL, NETWORK)
    perform(given.model_copy(update={"version": "whole"}), "j0", settings, watch())
    with pytest.raises(Cancelled):
        perform(given, "j1", settings, watch(stop_after=30))
    run = tmp_path / "data" / "runs" / "j1"
    assert any((run / "checkpoints").iterdir()) and not (tmp_path / "models" / "pumps" / "1").exists()
    seen = watch()
    perform(given, "j1", settings, seen)
    steps = (run / "metrics.jsonl").read_text().count('"step"')
    again = (tmp_path / "data" / "runs" / "j0" / "metrics.jsonl").read_text().count('"step"')
    assert steps == again
    progress = seen.meter.progress()
    assert (progress.done, progress.total, progress.unit, progress.term) == (60, 60, "steps", "network")
    rows = np.random.default_rng(1).normal(size=(5, 3))
    one, other = (load(tmp_path / "models" / "pumps" / v).score(rows).energy for v in ("1", "whole"))
    np.testing.assert_array_equal(one, other)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(
    settings: Settings, tmp_path: Path
) -> None:
    run = tmp_path / "data" / "runs" / "j1"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("name: pu")  # cut off
    perform(submission(tmp_path, KERNEL, NETWORK), "j1", settings, watch())
    assert (tmp_path / "models" / "pumps" / "1").is_dir()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"kind": "file", "path": "/etc/passwd"}, "data.path: /etc/passwd is not under an allowed root"),
        ({"kind": "file", "path": "rows.csv"}, "data.path: rows.csv: must be an absolute path"),
        (
            {"kind": "file", "path": "{root}/rows.csv", "labels_path": "/etc/hosts"},
            "data.labels_path: /etc/hosts",
        ),
    ],
)
def test_a_configuration_reads_only_what_jobs_may_read(
    settings: Settings, tmp_path: Path, data: dict[str, str], said: str
) -> None:
    data = {key: value.format(root=tmp_path) for key, value in data.items()}
    given = submission(tmp_path, input=None)
    given.options["config"]["data"] = data
    with pytest.raises(BadInput, match=said):
        perform(given, "j1", settings, watch())
    assert not (tmp_path / "data" / "runs").exists()


def test_a_model_goes_to_a_url_manifest_last_and_once(settings: Settings, tmp_path: Path) -> None:
    import fsspec

    url = f"memory://{tmp_path.name}/models"
    settings = settings.model_copy(update={"models_dir": url})
    found = perform(submission(tmp_path), "j1", settings, watch())
    assert found["path"] == f"{url}/pumps/1"
    artefact = tmp_path / "data" / "runs" / "j1" / "artefact" / "pumps" / "1"
    files = fsspec.filesystem("memory")
    names = sorted(path.rpartition("/")[2] for path in files.find(f"/{tmp_path.name}/models/pumps/1"))
    assert names == sorted(path.name for path in artefact.iterdir())
    assert publish_files(artefact, url, "pumps", "1") == found["path"]
    files.rm(f"/{tmp_path.name}/models/pumps/1/manifest.json")  # an upload that was cut off is completed
    publish_files(artefact, url, "pumps", "1")
    (artefact / "manifest.json").write_text("{}")
    with pytest.raises(BadInput, match="published already"):
        publish_files(artefact, url, "pumps", "1")


def test_publishing_leaves_nothing_half_done(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("service.jobs.publish.shutil.copy2", full)
        with pytest.raises(OSError, match="pumps/1: No space left on device"):
            perform(submission(tmp_path), "j1", settings, watch())
    folder = tmp_path / "models" / "pumps"
    assert not folder.exists() or list(folder.iterdir()) == []
    assert training.train(submission(tmp_path), "j1", settings, watch())["path"] == str(folder / "1")
