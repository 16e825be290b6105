"""Worker processes and the kinds of jobs beside scoring on one machine: what comes out is what the library gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from job_harness import (
    MODEL,
    MODELS,
    WorkerProcess,
    check_rows,
    make_rows,
    make_settings,
    opened,
    score,
    wait,
    wait_for,
    writes,
)

from ebm.artifact import load
from ebm.batch.run import run_batch
from ebm.batch.spec import BatchSpec
from ebm.runs import TrainConfig
from ebm.runs import train as train_here
from service.jobs.job import Submission

OURS = ("path", "seconds", "run", "rejects")  # of a summary: what differs by name or by clock


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "writes.log"


def alone(given: Submission, output: Path) -> dict[str, Any]:
    """The same work in this process, to another place; its summary."""
    options = dict(given.options)
    values = {"model": str(MODELS / given.model / str(given.version)), "input": given.input}
    values |= {"output": str(output), "rows_per_chunk": options.pop("rows_per_chunk")}
    return run_batch(BatchSpec.model_validate({**values, "options": {**options, "kind": given.kind}}))


def plain(summary: Any) -> Any:
    if not isinstance(summary, dict):
        return summary
    return {key: plain(value) for key, value in summary.items() if key not in OURS}


def generate(folder: Path, n: int, model: str = MODEL, name: str = "made.parquet", **more: Any) -> Submission:
    return Submission(
        kind="generate", model=model, version="2", output=str(folder / name), options={"n": n, **more}
    )


# -- samplers -------------------------------------------------------------------------------------------------------


def test_a_denoise_job_gives_what_the_library_gives(tmp_path: Path, log: Path) -> None:
    settings = make_settings(tmp_path)
    images = np.random.default_rng(0).integers(0, 17, (150, 8, 8)).astype(np.float32)
    images[77, 3, 3] = np.nan
    np.save(tmp_path / "digits.npy", images)
    given = Submission(
        kind="denoise",
        model="digits",
        version="2",
        input=str(tmp_path / "digits.npy"),
        output=str(tmp_path / "clean.npy"),
        options={"rows_per_chunk": 64, "method": "langevin", "n_steps": 3, "sigma": 2.0, "seed": 5},
    )
    with opened(settings) as store, WorkerProcess(settings, log, limits={"denoise": 1}):
        done = wait_for(store, store.submit(given)[0].id)
    assert done.state == "succeeded" and done.summary is not None, done.error
    assert (done.progress.done, done.progress.total, done.progress.rejected) == (150, 150, 1)
    assert writes(log) == dict.fromkeys(range(3), 1)
    expected = alone(given, tmp_path / "alone.npy")
    found = np.load(tmp_path / "clean.npy")
    np.testing.assert_array_equal(found, np.load(tmp_path / "alone.npy"))
    assert found.shape == images.shape and np.isnan(found).reshape(150, -1).all(1).nonzero()[0].tolist() == [
        77
    ]
    assert plain(done.summary) == plain(expected) and expected["denoised"] == 149
    assert (tmp_path / "clean.npy.rejects.csv").read_text() == (
        tmp_path / "alone.npy.rejects.csv"
    ).read_text()


def test_samples_are_the_same_after_the_worker_was_killed(tmp_path: Path, log: Path) -> None:
    settings = make_settings(tmp_path)
    given = generate(tmp_path, 200, seed=3, rows_per_chunk=20)
    with opened(settings) as store:
        job, _ = store.submit(given)
        with WorkerProcess(settings, log, limits={"generate": 1}) as one:
            wait(lambda: writes(log).total() >= 3, "chunks")
            one.kill()
        assert not (tmp_path / "made.parquet").exists()
        with WorkerProcess(settings, log, limits={"generate": 1}):
            done = wait_for(store, job.id)
    assert done.state == "succeeded" and done.attempts == 2 and done.summary is not None, done.error
    written = writes(log)
    assert sorted(written) == list(range(10)) and written.total() <= 11, (
        "chunks that were done were done again"
    )
    expected = alone(given, tmp_path / "alone.parquet")
    assert (tmp_path / "made.parquet").read_bytes() == (tmp_path / "alone.parquet").read_bytes()
    assert len(pq.read_table(tmp_path / "made.parquet")) == 200 and plain(done.summary) == plain(expected)
    assert not (tmp_path / "made.parquet.partial").exists()


def test_a_sampler_is_left_in_the_middle_of_its_chunk(tmp_path: Path, log: Path) -> None:
    # Minutes of work in the first chunk of each, and a worker that would wait for its end.
    settings = make_settings(tmp_path, drain_s=1000)
    many = 100_000
    with opened(settings) as store, WorkerProcess(settings, log, limits={"generate": 1}) as worker:
        first, _ = store.submit(generate(tmp_path, many, "digits", rows_per_chunk=many))
        other, _ = store.submit(generate(tmp_path, many, "digits", "more.parquet", rows_per_chunk=many))
        running = wait_for(store, first.id, lambda job: job.progress.total is not None)
        assert (running.state, running.progress.done, running.progress.total) == ("running", 0, many)
        assert running.progress.per_second is None
        store.cancel(first.id)
        wait_for(store, other.id, lambda job: job.progress.total == many)
        assert not (tmp_path / "made.parquet.partial").exists()
        assert worker.stop() == 0, "it waits for the end of the chunk"
        assert store.get(first.id).state == "cancelled" and store.get(other.id).state == "queued"
    assert writes(log).total() == 0
    said = [json.loads(line) for line in Path(f"{log}.err").read_text().splitlines()]
    assert [line["reason"] for line in said if line["event"] == "job_left"] == ["cancelled", "stopping"]
    assert not any("exception" in line for line in said), "a stop is no error"


# -- Ray ------------------------------------------------------------------------------------------------------------


@pytest.mark.ray
@pytest.mark.slow
def test_a_job_on_ray_gives_the_rows_of_one_process(tmp_path: Path, log: Path) -> None:
    settings = make_settings(tmp_path)
    values = make_rows(tmp_path / "rows.parquet", 1050)
    given = score(tmp_path, fdr=0.1).model_copy(update={"engine": "ray"})
    with opened(settings) as store, WorkerProcess(settings, log) as worker:
        done = wait_for(store, store.submit(given)[0].id, s=150)
        assert psutil.Process(worker.pid).children(recursive=True) == []
    assert done.state == "succeeded" and done.summary is not None, done.error
    assert (done.progress.done, done.progress.total) == (1050, 1050)
    assert writes(log).total() == 0, "the worker did them, and not the actors"
    check_rows(tmp_path, values)
    expected = alone(given, tmp_path / "alone.parquet")
    assert pq.read_table(tmp_path / "out.parquet").equals(pq.read_table(tmp_path / "alone.parquet"))
    assert plain(done.summary) == plain(expected)


@pytest.mark.ray
@pytest.mark.slow
def test_a_job_on_ray_that_is_cancelled_leaves_no_process(tmp_path: Path, log: Path) -> None:
    settings = make_settings(tmp_path)
    make_rows(tmp_path / "rows.parquet", 60_000)
    given = score(tmp_path).model_copy(update={"engine": "ray"})
    with opened(settings) as store, WorkerProcess(settings, log) as worker:
        job, _ = store.submit(given)
        wait_for(store, job.id, lambda job: job.progress.done > 0, s=150)
        started = psutil.Process(worker.pid).children(recursive=True)
        assert any("raylet" in process.name() for process in started)
        assert store.cancel(job.id).state == "cancelled"
        _, alive = psutil.wait_procs(started, timeout=60)
        assert alive == []
        wait(lambda: not (tmp_path / "out.parquet.partial").exists(), "the staging folder to go")
        assert worker.stop() == 0
    assert not (tmp_path / "out.parquet").exists()


# -- training -------------------------------------------------------------------------------------------------------

NETWORK = {
    "name": "network",
    "energy": {"kind": "mlp", "width": 8, "noise_conditional": True},
    "objective": {"kind": "dsm", "sigma_min": 0.1, "sigma_max": 4.0},
    "training": {"n_steps": 1500, "batch_size": 16, "checkpoint_every": 200, "log_every": 50},
    "sigmas": [0.2],
}


def logged(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_training_whose_worker_was_killed_goes_on_from_its_checkpoint(tmp_path: Path, log: Path) -> None:
    from safetensors import safe_open

    settings = make_settings(tmp_path, models_dir=tmp_path / "models")
    rows = np.random.default_rng(0).normal(size=(200, 3))
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",", header="a,b,c", comments="")
    config = {"preprocessing": {"kind": "standardize"}, "terms": [NETWORK]}
    given = Submission(
        kind="train",
        model="pumps",
        version="1",
        input=str(tmp_path / "rows.csv"),
        output=str(tmp_path / "models" / "pumps"),
        options={"config": config},
    )
    with opened(settings) as store:
        job, _ = store.submit(given)
        run = tmp_path / "data" / "runs" / job.id
        checkpoint = run / "checkpoints" / "network.safetensors"
        with WorkerProcess(settings, log) as one:
            wait(checkpoint.exists, "a checkpoint")
            one.kill()
        with safe_open(checkpoint, "numpy") as file:
            facts = json.loads(next(iter(file.metadata().values())))
        step = int(facts["step"])
        assert 200 <= step < 1500 and not (tmp_path / "models").exists()
        # Lines that are written once more have no mark.
        marked = [{**line, "mark": 1} for line in logged(run) if line["step"] <= step]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in marked))
        with WorkerProcess(settings, log) as two:
            done = wait_for(store, job.id)
            assert two.stop() == 0
    assert done.state == "succeeded" and done.attempts == 2 and done.summary is not None, done.error
    steps = logged(run)
    assert [line["step"] for line in steps] == list(range(50, 1501, 50))
    assert [line["step"] for line in steps if "mark" in line] == list(range(50, step + 1, 50))
    published = tmp_path / "models" / "pumps"
    assert [path.name for path in published.iterdir()] == ["1"] and done.summary["path"] == str(
        published / "1"
    )
    values = {**config, "name": "pumps", "version": "1", "data": {"kind": "file", "path": given.input}}
    whole = train_here(TrainConfig.model_validate(values))
    np.testing.assert_array_equal(load(published / "1").score(rows).energy, whole.score(rows).energy)
