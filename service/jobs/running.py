"""What a worker does for a job, of whatever kind."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import structlog

from ebm.batch.spec import BatchSpec, GenerateOptions
from ebm.errors import BadInput, Cancelled, EBMError
from service.jobs.job import Submission
from service.jobs.options import batch_spec
from service.jobs.places import Roots
from service.jobs.stoppable import stoppable
from service.jobs.training import train
from service.jobs.watch import Watch
from service.settings import Settings

LOOKS = 3  # at the models, of which a store far away may miss one
WAIT_S = 1.0  # for an earlier holder of the same output
PATIENCE = 600  # such waits
log = structlog.get_logger("service.jobs")


def perform(submission: Submission, job_id: str, settings: Settings, watch: Watch) -> dict[str, Any]:
    """Do it, and return its summary.

    Raises:
        EBMError, OSError: why it failed; Cancelled where `watch` stopped it.
    """
    check_places(submission, Roots.of(settings))
    if submission.kind == "train":
        return train(submission, job_id, settings, watch)
    spec = spec_of(submission, str(model_folder(submission, settings)), settings)
    if Roots.of(settings).made_here(submission.output):
        Path(submission.output).parent.mkdir(parents=True, exist_ok=True)
    from ebm.batch.run import Busy

    for _ in range(PATIENCE):
        try:
            return _stream(spec, submission, settings, watch)
        except Busy as error:
            # The worker that had the job before has not noticed yet that it lost it.
            log.info("output_busy", job=job_id, reason=str(error))
            if watch.should_stop():
                raise Cancelled("stopped before it began") from None
            threading.Event().wait(WAIT_S)
    raise BadInput(f"output: {submission.output}: another run writes there")


def check_places(submission: Submission, roots: Roots) -> None:
    """What the API has checked, once more where it counts: a link may have moved since.

    Raises:
        BadInput: names the place.
    """
    if submission.input is not None and not roots.made_here(submission.input):
        roots.input(submission.input)
    if submission.kind != "train" and not roots.made_here(submission.output):
        roots.output(submission.output)


def spec_of(submission: Submission, model: str, settings: Settings) -> BatchSpec:
    """Raises BadInput: names the option."""
    return batch_spec(
        submission.kind,
        submission.options,
        model=model,
        input=submission.input,
        output=submission.output,
        device=settings.device,
    )


def model_folder(submission: Submission, settings: Settings) -> Path:
    """Where the files of the job's model are, fetched first where they come from a URL.

    Raises:
        BadInput: the version is gone. EBMError: the models cannot be read.
    """
    from service.registry.opening import open_store

    store = open_store(settings.models_dir, settings.cache_dir)
    for left in reversed(range(LOOKS)):
        try:
            versions = store.look().versions
            found = versions.get((submission.model, submission.version or ""))
            if found is None:
                raise BadInput(f"model: '{submission.model}' version '{submission.version}' is gone")
            return store.fetch(found).absolute()
        except EBMError:
            raise
        except Exception as error:  # whatever the file system raises
            if not left:
                raise EBMError(f"models_dir: cannot be read ({error})") from error
            threading.Event().wait(WAIT_S)
    raise AssertionError


def discard_output(submission: Submission, settings: Settings) -> None:
    """Remove what a cancelled job has written so far; a model that was trained halfway is kept until the job expires.

    Raises:
        OSError, EBMError: it cannot be removed now.
    """
    if submission.kind == "train":
        return
    from ebm.batch.run import discard

    # The same spec to the letter: the folder may be another run's by now.
    discard(spec_of(submission, str(model_folder(submission, settings)), settings))


def _stream(spec: BatchSpec, submission: Submission, settings: Settings, watch: Watch) -> dict[str, Any]:
    from ebm import artifact
    from ebm.batch.run import BatchRun, ChunkDone

    def on_progress(run: BatchRun, _: ChunkDone) -> None:
        if not watch.meter.got_on and submission.engine == "ray":
            watch.meter.begin(run.rows_done, run.n_rows)  # the chunks until now may be of an earlier attempt
        watch.meter.note(run.rows_done, run.n_rows, anomalies=run.anomalies, rejected=run.rejected)

    if submission.engine == "ray":
        from ebm.distributed import run_ray

        if isinstance(spec.options, GenerateOptions):
            watch.meter.begin(0, spec.options.n)
        return run_ray(
            spec, address=settings.ray_address, on_progress=on_progress, should_stop=watch.should_stop
        )
    detector = stoppable(artifact.load(spec.model, device=spec.device), watch.should_stop)
    with BatchRun.open(spec, detector=detector) as run:
        watch.meter.begin(run.rows_done, run.n_rows)
        for chunk in run.steps(watch.should_stop):
            on_progress(run, chunk)
        return run.finish()
