"""A job that trains: a run folder that goes on where it was left, then a published model."""

from __future__ import annotations

import os
import shutil
from typing import Any

from ebm.errors import BadInput
from service.jobs.folders import run_folder
from service.jobs.job import Submission
from service.jobs.options import train_values
from service.jobs.places import Roots
from service.jobs.publish import check_free, publish_files
from service.jobs.watch import Watch
from service.settings import Settings


def train(submission: Submission, job_id: str, settings: Settings, watch: Watch) -> dict[str, Any]:
    """Train, publish, and say what came out.

    The finished artefact lies in the run folder before it is published: an attempt that ended between the two is
    repeated without training.

    Raises:
        EBMError: as `ebm.runs.train`; BadInput where the version is taken.
    """
    from ebm.artifact import publish, read_manifest
    from ebm.card import model_card
    from ebm.config import validate
    from ebm.runs import TrainConfig
    from ebm.runs import train as run

    config = validate(TrainConfig, train_values(submission), "options")
    _check_data(config.data, Roots.of(settings))
    folder = run_folder(job_id, settings)
    finished = folder / "artefact" / config.name / config.version
    check_free(finished, settings.models_dir, config.name, config.version)
    if not finished.exists():
        # Without a checkpoint there is nothing to go on from, perhaps not even a whole config.yaml.
        resume = any((folder / "checkpoints").glob("*"))
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)

        def on_step(term: str, step: int, n_steps: int, figures: dict[str, float]) -> None:
            watch.meter.note(step, n_steps, "steps", term=term, figures=figures)

        detector = run(
            config,
            run_dir=folder,
            base_dir=folder,
            resume=resume,
            on_step=on_step,
            should_stop=watch.should_stop,
        )
        publish(detector, folder / "artefact", model_card(detector.manifest))
    manifest = read_manifest(finished)
    path = publish_files(finished, settings.models_dir, config.name, config.version)
    return {
        "model": config.name,
        "version": config.version,
        "path": path,
        "run_dir": str(folder),
        "metrics": manifest.metrics,
        "baselines": manifest.baselines,
        "notes": list(manifest.notes),
    }


def _check_data(data: Any, roots: Roots) -> None:
    """A configuration names files of its own. Raises BadInput."""
    for name in ("path", "labels_path"):
        place = getattr(data, name, None)
        if place is not None and not roots.made_here(place):
            if not os.path.isabs(place):
                raise BadInput(f"data.{name}: {place}: must be an absolute path")
            roots.input(place, f"data.{name}")
