"""A worker: a process that runs jobs, as many of each kind at once as its settings say, until it is told to stop."""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import structlog
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer
from dbos._error import DBOSAwaitedWorkflowCancelledError
from dbos._serialization import DefaultSerializer
from sqlalchemy.exc import SQLAlchemyError

from service.jobs.database import APPLICATION, SCHEMA, Database
from service.jobs.failure import JobFailed
from service.jobs.heartbeat import Heartbeat
from service.jobs.job import Kind
from service.jobs.store import VERSION, queue_name
from service.jobs.sweep import sweep
from service.jobs.workflows import Setting, register
from service.settings import Settings

POLL_S = 0.5  # between two looks into a queue
SWEEP_S = 60.0
log = structlog.get_logger("service.jobs")


def run(
    settings: Settings, limits: Mapping[Kind, int], name: str | None = None, parent: int | None = None
) -> None:
    """Run jobs until SIGTERM or SIGINT, or until `parent` is no longer the parent process. Jobs under way stop after
    their chunk, or step of sampling or training, and go back to the queue.

    DBOS leaves threads behind that wait for jobs which others go on with: end the process with os._exit.

    Args:
        limits: how many jobs of each kind at once; other kinds are left to other workers.
        name: the beginning of the worker's id, for people.

    Raises:
        Unavailable: the database cannot be reached.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    _forward_logs()
    executor = f"{_safe(name or socket.gethostname())}-{os.getpid()}-{secrets.token_hex(4)}"
    database = Database.of(settings, pool_size=10)
    database.prepare()
    dbos = DBOS(
        config={
            "name": APPLICATION,
            "system_database_engine": database.engine,
            "dbos_system_schema": SCHEMA,
            "serializer": DBOSPortableJSONSerializer(),
            "application_version": str(VERSION),
            "executor_id": executor,
            "log_level": "WARNING",
        }
    )
    for kind, at_once in limits.items():
        register(kind, Setting(database, settings, stopping))
        # In memory: queues of the database have one limit for all workers.
        dbos._registry._register_internal_queue(
            queue_name(kind), worker_concurrency=at_once, polling_interval_sec=POLL_S
        )
    heartbeat = Heartbeat(
        database,
        executor,
        limits,
        settings.job_heartbeat_s,
        # Until their end is recorded, which may take until a lost database is back.
        lambda: set(dbos._active_workflows_set.activeList()),
    )
    with database.answering():
        heartbeat.start()
        DBOS.launch()
    log.info("worker_ready", worker=executor, limits=dict(limits), database=database.name)
    _wait(stopping, database, settings, parent)
    log.info("worker_stopping", worker=executor)
    # First the queues, so that nothing is begun again; then the jobs, which have until then to leave.
    DBOS.destroy(workflow_completion_timeout_sec=max(1, int(settings.drain_s)))
    try:
        heartbeat.stop()
    except SQLAlchemyError as error:
        log.warning("not_signed_off", reason=str(error).splitlines()[0])
    log.info("worker_stopped", worker=executor)


def _wait(stopping: threading.Event, database: Database, settings: Settings, parent: int | None) -> None:
    client = DBOSClient(
        system_database_engine=database.engine,
        dbos_system_schema=SCHEMA,
        serializer=DBOSPortableJSONSerializer(),
        application_name=APPLICATION,
        lazy=True,
        retry_connection_errors=False,
    )
    every = min(SWEEP_S, settings.job_keep_s)
    due = time.monotonic()
    while not stopping.wait(0.25):
        if parent is not None and os.getppid() != parent:
            stopping.set()  # the server was killed
        elif time.monotonic() >= due:
            try:
                sweep(database, client, settings)
            except Exception:
                log.warning("not_swept", exc_info=True)
            due = time.monotonic() + every


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:80]


class _Forward(logging.Handler):
    """DBOS's lines in the shape of ours. That a job was stopped, or failed for a reason of its own, is no error of the
    worker."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, (JobFailed, DBOSAwaitedWorkflowCancelledError)):
            line: dict[str, Any] = {"message": record.getMessage(), "exc_info": record.exc_info or None}
            structlog.get_logger("dbos").log(record.levelno, "dbos", **line)


def _forward_logs() -> None:
    theirs = logging.getLogger("dbos")
    theirs.handlers, theirs.propagate = [_Forward()], False


def _refuse(*_: Any) -> Any:
    raise ValueError("pickled data are not read")


# A row of the database may name pickle as its format; nothing is ever unpickled here.
setattr(DefaultSerializer, "deserialize", _refuse)  # noqa: B010
