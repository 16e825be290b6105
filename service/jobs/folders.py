"""Where the server and its workers keep what belongs to a job, in the data directory."""

from __future__ import annotations

import os
from pathlib import Path

from service.jobs.places import RESULTS, UPLOADS
from service.settings import Settings

RUNS = "runs"


def data_dir(settings: Settings) -> Path:
    """Absolute, without links: paths are compared with those that places.py resolves."""
    return Path(os.path.realpath(settings.data_dir))


def results_folder(job_id: str, settings: Settings) -> Path:
    return data_dir(settings) / RESULTS / job_id


def run_folder(job_id: str, settings: Settings) -> Path:
    return data_dir(settings) / RUNS / job_id


def is_result(place: str, settings: Settings) -> bool:
    return "://" not in place and Path(place).is_relative_to(data_dir(settings) / RESULTS)


def upload_folder(place: str, settings: Settings) -> Path | None:
    """The folder of one upload, where `place` lies in one."""
    root = data_dir(settings) / UPLOADS
    path = Path(place)
    if "://" in place or not path.is_relative_to(root) or path == root:
        return None
    return root / path.relative_to(root).parts[0]
