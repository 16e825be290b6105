"""Jobs as the API keeps them: submitted, looked at, cancelled. Workers run them, in processes of their own."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from service.errors import Problem, TooMany
from service.jobs.folders import is_result, upload_folder
from service.jobs.job import Job, Kind, State, Submission
from service.settings import Settings

if TYPE_CHECKING:
    from dbos import DBOSClient

    from service.jobs.auto import AutoWorker
    from service.jobs.database import Database

JOB = "{job}"  # in an output among the results: the job's id
RETRY_S = 5
VERSION = 1  # of the workflows: one up where their steps change, see `workflows.py`
log = structlog.get_logger("service.jobs")


class Jobs:
    """The JobStore over a database, which is opened when it is first needed."""

    def __init__(self, settings: Settings, auto: AutoWorker | None = None):
        self.settings = settings
        self.auto = auto
        self._opening = threading.Lock()
        self._opened: tuple[Database, DBOSClient] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Jobs | None:
        """None where the settings turn jobs off."""
        from service.jobs.auto import AutoWorker

        if settings.jobs == "off":
            return None
        return cls(settings, AutoWorker(settings) if settings.jobs == "auto" else None)

    def start(self) -> None:
        """In the background: see whether jobs wait, and start a worker for them, where this server does that."""
        if self.auto is not None:
            self.auto.start(self._has_unfinished)

    def submit(self, submission: Submission, idempotency_key: str | None = None) -> tuple[Job, bool]:
        from sqlalchemy.exc import IntegrityError

        with self._answering() as (database, client):
            token = None if idempotency_key is None else _token(submission.owner, idempotency_key)
            digest = _digest(submission, self.settings)
            known = None if token is None else self._repeated(database, token, digest)
            if known is not None:
                return self.get(known), False
            self._refuse_when_full(database)
            job_id = secrets.token_hex(8)
            if is_result(submission.output, self.settings):
                given = {"output": submission.output.replace(JOB, job_id)}
                submission = submission.model_copy(update=given)
            try:
                with database.engine.begin() as connection:
                    connection.execute(_row(database, submission, job_id, digest, token))
                    client.enqueue_in_transaction(
                        connection,
                        {
                            "workflow_name": workflow_name(submission.kind),
                            "queue_name": queue_name(submission.kind),
                            "workflow_id": job_id,
                            "app_version": str(VERSION),
                        },
                        job_id,
                    )
            except IntegrityError:
                # Two with one key at the same time: the other was first.
                known = None if token is None else self._repeated(database, token, digest)
                if known is None:
                    raise
                return self.get(known), False
        if self.auto is not None:
            self.auto.want()
        return self.get(job_id), True

    def get(self, job_id: str, owner: str | None = None) -> Job:
        from service.jobs.database import jobs
        from service.jobs.reading import job_of, selected

        with self._answering() as (database, _), database.engine.connect() as connection:
            found = selected().where(
                jobs.c.id == job_id.encode("utf-8", "replace").decode().replace("\0", "?")
            )
            if owner is not None:
                found = found.where(jobs.c.owner == owner)
            row = connection.execute(found).one_or_none()
        if row is None:
            raise Problem(404, "unknown-job", f"no job '{job_id}'")
        return job_of(row, self.settings.job_keep_s)

    def list(
        self,
        owner: str | None = None,
        *,
        kind: Kind | None = None,
        state: State | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Job]:
        from service.jobs.database import jobs, status
        from service.jobs.reading import job_of, selected, words_of

        query = selected().order_by(jobs.c.created.desc(), jobs.c.id).limit(limit).offset(offset)
        if owner is not None:
            query = query.where(jobs.c.owner == owner)
        if kind is not None:
            query = query.where(jobs.c.kind == kind)
        if state is not None:
            query = query.where(status.c.status.in_(words_of(state)))
        with self._answering() as (database, _), database.engine.connect() as connection:
            rows = connection.execute(query).all()
        return [job_of(row, self.settings.job_keep_s) for row in rows]

    def counts(self) -> dict[tuple[Kind, State], int]:
        """How many jobs there are of each kind and state."""
        import sqlalchemy as sa

        from service.jobs.database import jobs, status
        from service.jobs.reading import STATES

        query = (
            sa.select(jobs.c.kind, status.c.status, sa.func.count())
            .join(status, status.c.workflow_uuid == jobs.c.id)
            .group_by(jobs.c.kind, status.c.status)
        )
        found: dict[tuple[Kind, State], int] = {}
        with self._answering() as (database, _), database.engine.connect() as connection:
            for kind, word, n in connection.execute(query):
                key = (kind, STATES.get(word, "failed"))
                found[key] = found.get(key, 0) + n
        return found

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        self.get(job_id, owner)
        with self._answering() as (_, client):
            client.cancel_workflow(job_id)
        return self.get(job_id, owner)

    def close(self) -> None:
        """Stop the worker of this server, if it has one: its jobs go back to the queue."""
        if self.auto is not None:
            self.auto.close()
        with self._opening:
            if self._opened is not None:
                database, client = self._opened
                client.destroy()
                database.close()
                self._opened = None

    @contextmanager
    def _answering(self) -> Iterator[tuple[Database, DBOSClient]]:
        """Raises a Problem, 503, where the database does not answer."""
        from dbos._error import DBOSException
        from sqlalchemy.exc import SQLAlchemyError

        from service.jobs.database import Unavailable

        try:
            yield self._open()
        except (SQLAlchemyError, DBOSException, Unavailable) as error:
            log.warning("jobs_unavailable", reason=str(error).splitlines()[0])
            detail = "the database of jobs does not answer"
            headers = {"Retry-After": str(RETRY_S)}
            raise Problem(503, "jobs-unavailable", detail, headers=headers) from error

    def _open(self) -> tuple[Database, DBOSClient]:
        from dbos import DBOSClient, DBOSPortableJSONSerializer

        from service.jobs.database import APPLICATION, SCHEMA, Database

        with self._opening:
            if self._opened is None:
                database = Database.of(self.settings)
                try:
                    database.prepare()
                    client = DBOSClient(
                        system_database_engine=database.engine,
                        dbos_system_schema=SCHEMA,
                        serializer=DBOSPortableJSONSerializer(),
                        application_name=APPLICATION,
                        lazy=True,
                        retry_connection_errors=False,
                    )
                except BaseException:
                    database.close()
                    raise
                self._opened = database, client
            return self._opened

    def _has_unfinished(self) -> bool:
        """Whether there is work for a worker; does not make a database where there is none yet."""
        from service.jobs.database import FILE

        if self.settings.database_url is None and not (self.settings.data_dir / FILE).exists():
            return False
        return any(state in ("queued", "running") for _, state in self.counts())

    def _repeated(self, database: Database, token: str, digest: str) -> str | None:
        """The id of the job that was submitted with this key. Raises a Problem, 409, where it was another job."""
        import sqlalchemy as sa

        from service.jobs.database import jobs

        with database.engine.connect() as connection:
            query = sa.select(jobs.c.id, jobs.c.digest).where(jobs.c.idempotency == token)
            row = connection.execute(query).one_or_none()
        if row is not None and row.digest != digest:
            detail = "this Idempotency-Key was used for another job; take a new one"
            raise Problem(409, "idempotency-conflict", detail)
        return None if row is None else row.id

    def _refuse_when_full(self, database: Database) -> None:
        import sqlalchemy as sa

        from service.jobs.database import jobs, status
        from service.jobs.reading import words_of

        query = (
            sa.select(sa.func.count())
            .select_from(jobs.join(status, status.c.workflow_uuid == jobs.c.id))
            .where(status.c.status.in_(words_of("queued")))
        )
        with database.engine.connect() as connection:
            waiting = connection.execute(query).scalar_one()
        if waiting >= self.settings.job_queue:
            raise TooMany(f"{waiting} jobs wait already; see EBM_JOB_QUEUE", 30)


def queue_name(kind: str) -> str:
    return f"ebm-{kind}"


def workflow_name(kind: str) -> str:
    return f"ebm-{kind}"


def _row(database: Database, submission: Submission, job_id: str, digest: str, token: str | None) -> Any:
    from service.jobs.database import jobs

    return jobs.insert().values(
        id=job_id,
        kind=submission.kind,
        owner=submission.owner,
        submission=json.dumps(submission.model_dump(mode="json")),
        digest=digest,
        idempotency=token,
        created=database.now(),
    )


def _token(owner: str | None, key: str) -> str:
    whose = json.dumps([owner, key])
    return hashlib.sha256(whose.encode()).hexdigest()


def _digest(submission: Submission, settings: Settings) -> str:
    """Equal for two requests that ask for the same. What is decided at acceptance does not count: the version that
    a name means, and where an upload or a result lies."""
    asked = submission.model_dump(mode="json", exclude={"version", "owner"})
    if submission.kind == "train":
        asked["version"] = submission.version
    file = submission.input
    if file is not None and upload_folder(file, settings) is not None:
        path = Path(file)
        asked["input"] = [path.name, path.stat().st_size if path.is_file() else None]
    if is_result(submission.output, settings):
        asked["output"] = Path(submission.output).name
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
