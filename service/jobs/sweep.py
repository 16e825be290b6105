"""What jobs leave behind, removed when it is time."""

from __future__ import annotations

import shutil
import time

import sqlalchemy as sa
import structlog
from dbos import DBOSClient

from ebm.errors import EBMError
from service.jobs.database import Database, jobs, status, workers
from service.jobs.folders import data_dir, results_folder, run_folder, upload_folder
from service.jobs.job import Submission
from service.jobs.places import UPLOADS
from service.jobs.running import discard_output
from service.settings import Settings

ENDED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
MOST = 100  # jobs in one go
log = structlog.get_logger("service.jobs")


def sweep(database: Database, client: DBOSClient, settings: Settings) -> None:
    """Safe to be done by several workers at once. Raises SQLAlchemyError: the database is away."""
    clean_cancelled(database, settings)
    expire(database, client, settings)
    remove_orphans(database, settings)


def clean_cancelled(database: Database, settings: Settings) -> None:
    """The staging folders of cancelled jobs whose worker died before it could remove them."""
    alive = sa.select(workers.c.executor_id)
    query = (
        sa.select(jobs.c.id, jobs.c.submission)
        .join(status, status.c.workflow_uuid == jobs.c.id)
        .where(status.c.status == "CANCELLED", jobs.c.cleaned.is_(False))
        .where(status.c.executor_id.is_(None) | status.c.executor_id.not_in(alive))
        .limit(MOST)
    )
    with database.engine.connect() as connection:
        found = connection.execute(query).all()
    for row in found:
        try:
            discard_output(Submission.model_validate_json(row.submission), settings)
        except (EBMError, OSError) as error:
            log.warning("not_removed", job=row.id, reason=str(error))
        with database.engine.begin() as connection:
            connection.execute(jobs.update().where(jobs.c.id == row.id).values(cleaned=True))


def expire(database: Database, client: DBOSClient, settings: Settings) -> None:
    """Files first, records last: what is interrupted is found again."""
    before = (database.now() - settings.job_keep_s) * 1000
    query = (
        sa.select(jobs.c.id, jobs.c.submission)
        .join(status, status.c.workflow_uuid == jobs.c.id)
        .where(status.c.status.in_(ENDED), status.c.completed_at < before)
        .limit(MOST)
    )
    with database.engine.connect() as connection:
        found = connection.execute(query).all()
    for row in found:
        given = Submission.model_validate_json(row.submission)
        for folder in (results_folder(row.id, settings), run_folder(row.id, settings)):
            shutil.rmtree(folder, ignore_errors=True)
        upload = None if given.input is None else upload_folder(given.input, settings)
        if upload is not None:
            shutil.rmtree(upload, ignore_errors=True)
        client.delete_workflow(row.id)
        with database.engine.begin() as connection:
            connection.execute(jobs.delete().where(jobs.c.id == row.id))
        log.info("job_expired", job=row.id)


def remove_orphans(database: Database, settings: Settings) -> None:
    """Uploads whose job was never accepted."""
    folder = data_dir(settings) / UPLOADS
    if not folder.is_dir():
        return
    before = time.time() - settings.job_keep_s
    old = [path for path in folder.iterdir() if path.stat().st_mtime < before]
    if not old:
        return
    with database.engine.connect() as connection:
        texts = connection.execute(sa.select(jobs.c.submission)).scalars().all()
    used = {upload_folder(given, settings) for text in texts if (given := _input(text)) is not None}
    for path in old:
        if path not in used:
            shutil.rmtree(path, ignore_errors=True)


def _input(text: str) -> str | None:
    return Submission.model_validate_json(text).input
