"""A disk that is really full: a small file system of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from job_harness import (
    WorkerProcess,
    check_rows,
    make_rows,
    make_settings,
    opened,
    score,
    wait_for,
    writes,
)

from ebm.artifact import verify
from ebm.data.streams import open_source
from service.jobs.job import Submission

pytestmark = pytest.mark.slow
CHUNK = 100  # rows


def mount(*arguments: str) -> str | None:
    """Why it could not be done."""
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    reason = mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place))
    if reason is not None:
        pytest.skip(f"no file system can be mounted here: {reason}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def more_room(disk: Path) -> None:
    assert mount("-o", "remount,size=64m", str(disk)) is None


@pytest.mark.parametrize(
    ("name", "ending", "n"),
    [
        ("out.parquet", "staged", 8000),
        ("out", "parquet", 8000),
        ("out.csv", "csv", 8000),
        ("out.csv", "csv", 2200),  # the parts fit, but not the whole beside them
    ],
)
def test_a_job_says_that_the_disk_is_full_and_goes_on_when_there_is_room(
    disk: Path, tmp_path: Path, name: str, ending: str, n: int
) -> None:
    settings, log = make_settings(tmp_path), tmp_path / "writes.log"
    values = make_rows(tmp_path / "rows.parquet", n)
    given = score(disk, name).model_copy(update={"input": str(tmp_path / "rows.parquet")})
    with opened(settings) as store, WorkerProcess(settings, log, pause_s=0) as worker:
        failed = wait_for(store, store.submit(given)[0].id)
        assert failed.state == "failed" and failed.error is not None and failed.summary is None
        place, _, reason = failed.error.detail.rpartition(": ")
        assert reason == "No space left on device" and place.startswith(f"{disk}/{name}")
        assert "\n" not in failed.error.detail and (failed.error.row, failed.error.column) == (None, None)
        assert [path.name for path in disk.iterdir()] == [f"{name}.partial"]
        done = {path.stem for path in disk.glob("*.partial/part-*.json")}
        times = {stem: (disk / f"{name}.partial" / f"{stem}.{ending}").stat().st_mtime_ns for stem in done}
        assert done and failed.progress.done <= CHUNK * len(done)
        assert len(done) == n // CHUNK if n == 2200 else len(done) < n // CHUNK
        assert worker.process.is_alive()

        again = wait_for(store, store.submit(given)[0].id)  # it is full still
        assert again.state == "failed" and again.error is not None
        assert "No space left on device" in again.error.detail
        before = writes(log)

        more_room(disk)
        finished = wait_for(store, store.submit(given)[0].id)
        assert finished.state == "succeeded" and finished.summary is not None, finished.error
    assert finished.summary["rows"] == n == finished.progress.done
    repeated = {index for index, n in (writes(log) - before).items() if n}
    assert not repeated & {int(stem.partition("-")[2]) for stem in done}, (
        "chunks that were done were done again"
    )
    if name == "out.parquet":
        check_rows(disk, values)
    if name == "out":
        kept = {stem: (disk / name / f"{stem}.{ending}").stat().st_mtime_ns for stem in done}
        assert kept == times
    source = open_source(str(disk / name))
    assert sum(len(block) for block in source.blocks(1000)) == n
    source.close()
    assert not list(disk.glob("*.partial"))


def test_a_model_that_does_not_fit_is_not_published(disk: Path, tmp_path: Path) -> None:
    settings, log = make_settings(tmp_path, models_dir=disk / "models"), tmp_path / "writes.log"
    rows = np.random.default_rng(0).normal(size=(120, 3))
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",", header="a,b,c", comments="")
    kernel = {"name": "kernel", "energy": {"kind": "kernel"}}
    given = Submission(
        kind="train",
        model="pumps",
        version="1",
        input=str(tmp_path / "rows.csv"),
        output=str(disk / "models" / "pumps"),
        options={"config": {"preprocessing": {"kind": "standardize"}, "terms": [kernel]}},
    )
    (disk / "filler").write_bytes(bytes(2**21 - 3 * 4096))
    with opened(settings) as store, WorkerProcess(settings, log):
        failed = wait_for(store, store.submit(given)[0].id)
        assert failed.state == "failed" and failed.error is not None
        assert failed.error.detail == f"{disk}/models/pumps/1: No space left on device"
        assert not list(disk.glob("models/pumps/*")), "half a model"
        (disk / "filler").unlink()
        finished = wait_for(store, store.submit(given)[0].id)
        assert finished.state == "succeeded", finished.error
    assert verify(disk / "models" / "pumps" / "1").name == "pumps"
    assert [path.name for path in (disk / "models" / "pumps").iterdir()] == ["1"]
